"""Tests of `streaming_hub/livekit`."""
