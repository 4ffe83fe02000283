"""What the hub knows of LiveKit: tokens, webhooks, and the API of its server.

`webhooks` is pure; `tokens` reads the clock; `server_api` makes HTTP requests. Never imports livekit.agents.
"""
