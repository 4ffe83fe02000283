"""Webhooks: signed copies of events, sent to other systems until they arrive (docs/guides/webhooks.md).

The hub's side is `feed`, which follows the history. All else runs in a process of its own (`worker`): a slow or dead
receiver, TLS and SQL must not take a moment from the streams.
"""
