"""Tests of `streaming_hub/rooms`."""
