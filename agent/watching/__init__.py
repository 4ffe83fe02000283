"""The watcher: `rooms` picks the rooms, `room` joins one, `watched` turns what one agent does into events.

`messages` decodes LiveKit's session messages for `streaming_hub_client.bridge`, the translation that `attach` uses too.
"""
