"""The voice agent: runs on LiveKit and posts what happens to the hub. Never imports `streaming_hub`."""
