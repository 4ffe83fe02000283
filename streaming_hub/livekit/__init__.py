"""What the hub knows of LiveKit: tokens, the server's webhooks, and sending an agent to a room again.

`webhooks` is pure; `tokens` reads livekit-api's clock; `service` asks livekit-server over plain HTTP and `recall`
decides which rooms get the agent back. Nothing here imports livekit.agents.
"""
