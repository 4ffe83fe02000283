"""Runs flask_server.py with constants changed, so a wait of half a minute takes two seconds in a test.

    python -m tests.kit.launcher [--set MODULE:NAME=JSON]... [--descriptors N] [--counts FILE] [--agent JSON]
        -- arguments of flask_server.py

SIGUSR1 makes it write the number of live objects (greenlets, subscribers, streams...) to the file, as JSON.
"""

# ruff: noqa: E402 - monkey-patching comes first

from __future__ import annotations

from gevent import monkey

# Before anything else is imported, as in flask_server.py.
monkey.patch_all()

import argparse
import functools
import gc
import importlib
import json
import resource
import signal
import sys
from pathlib import Path

import gevent

import flask_server
from streaming_hub import command


def change(assignment: str) -> None:
    """Carry out one `MODULE:NAME=JSON`."""
    place, _, value = assignment.partition("=")
    module_name, _, name = place.partition(":")
    module = importlib.import_module(module_name)
    getattr(module, name)  # a name that no longer exists must be noticed
    setattr(module, name, json.loads(value))


def write_counts(path: Path) -> None:
    """Count live objects, after a collection."""
    gc.collect()
    counts = dict.fromkeys(("greenlets", "Subscriber", "Stream", "StreamBody", "Batch", "Group"), 0)
    for one in gc.get_objects():
        kind = type(one).__name__
        if isinstance(one, gevent.Greenlet):
            counts["greenlets"] += 1
        elif kind in counts:
            counts[kind] += 1
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps(counts))
    whole.rename(path)


def main() -> int:
    """Apply the options and serve."""
    place = sys.argv.index("--")
    own, rest = sys.argv[1:place], sys.argv[place + 1 :]
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--agent", type=json.loads)
    options = parser.parse_args(own)
    for assignment in options.set:
        change(assignment)
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    if options.counts:
        gevent.signal_handler(signal.SIGUSR1, write_counts, options.counts)
    create_app = functools.partial(flask_server.create_app, agent_command=options.agent)
    return command.run(create_app, rest)


if __name__ == "__main__":
    sys.exit(main())
