"""Tests of `streaming_hub/agents`."""
