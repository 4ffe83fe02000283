"""Tests of `streaming_hub/web/openapi`."""
