"""What the hub knows of LiveKit: tokens, webhooks, and the API of its server.

`webhooks` is pure; `tokens` reads livekit-api's clock; `server_api` makes HTTP requests. Never imports livekit.agents.
"""
