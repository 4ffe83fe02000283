"""What the watcher does: `rooms` decides which rooms, `room` sits in one, `watched` makes events of one agent.

`messages` reads LiveKit's session messages for the translation that `attach` uses (streaming_hub_client.bridge).
"""
