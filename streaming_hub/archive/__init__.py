"""Every session kept in SQL, measured and searchable, by a process of its own.

`feed` and `process` run in the hub, `worker` and what it imports in that process; `wire` is what they exchange.
Pure: `words`, `reduce`, `figures`, `spoken`, `views`. This file imports nothing, or that process would load the hub.
"""
