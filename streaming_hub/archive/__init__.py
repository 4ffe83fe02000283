"""Every session in SQL, measured and searchable, by a process of its own (`streaming_hub.sidecar`).

`feed` runs in the hub, `worker` and what it imports in that process; `messages` is what they exchange.
Pure: `words`, `reduce`, `figures`, `spoken`, `views`. This file imports nothing, or that process would load the hub.
"""

KNOWN_BY = {"archive_position": ("reader", "epoch", "seq")}
"""A table, with columns, that the archive has had in every version: no other program's database has it."""
