"""The voice agent: it speaks with LiveKit and posts what happens to the hub. Never imports `streaming_hub`."""
