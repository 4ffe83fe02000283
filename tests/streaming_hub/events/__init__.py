"""Tests of `streaming_hub/events`."""
