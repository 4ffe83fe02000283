"""Shared by the archive and the webhooks: a process beside the hub that follows the history and has a database.

`feed` and `process` run in the hub, `worker` and `database` in that process; `wire` is the protocol between them.
This file imports nothing, because that process would then load the hub.
"""
