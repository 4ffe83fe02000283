"""Tests of `streaming_hub/web/api`."""
