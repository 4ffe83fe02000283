"""What the archive and the webhooks share: a process beside the hub that has a database, and follows the history.

`feed` and `process` run in the hub, `worker` and `database` in that process; `wire` is what they exchange. This file
imports nothing, or that process would load the hub.
"""
