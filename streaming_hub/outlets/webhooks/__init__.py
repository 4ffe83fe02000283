"""Webhooks: signed copies of events, sent to other systems until they arrive (docs/guides/webhooks.md).

The hub's side is `feed`, which follows the history. Everything else runs in a process of its own (`worker`), so slow
receivers, TLS and SQL cannot delay the streams.
"""

KNOWN_BY = {"webhook_endpoints": ("id", "url", "secrets")}
"""A table, with columns, that the database has had in every version."""
