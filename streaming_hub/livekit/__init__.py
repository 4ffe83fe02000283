"""LiveKit, as far as the hub deals with it: tokens, webhooks, and livekit-server's API.

`webhooks` is pure; `tokens` reads the clock; `server_api` makes HTTP requests. Never imports livekit.agents.
"""
