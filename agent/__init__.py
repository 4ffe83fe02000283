"""The voice agent's process: it speaks with LiveKit and posts what happens to the hub. Never imports hub."""
