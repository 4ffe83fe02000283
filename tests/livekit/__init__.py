"""The whole product in real rooms: livekit-server, the hub as a user starts it, people who speak."""
