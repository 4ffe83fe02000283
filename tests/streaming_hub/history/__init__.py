"""Tests of `streaming_hub/history`."""
