"""Tests of `streaming_hub/server`."""
