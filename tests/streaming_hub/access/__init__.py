"""Tests of `streaming_hub/access`."""
