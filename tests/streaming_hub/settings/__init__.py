"""Tests of `streaming_hub/settings`."""
