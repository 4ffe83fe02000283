"""A little server for tests: supervises the fake agent given by its arguments, under gevent or plain threads.

Usage: run_supervisor.py gevent|threads hold|laps STEP... It prints one JSON line: with `hold` the status once
the agent is ready (then it stays until killed), with `laps` the longest time for which its loop stood still
while an agent was started, flooded its log, was stopped deaf, and could not be executed.
"""

import sys

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import json
import threading
import time
from dataclasses import asdict

from streaming_hub.agents import Policy
from tests.kit.wait import until
from tests.streaming_hub.agents.watched import Watched


class Ticker:
    """A thread (a greenlet under gevent) that notes the longest pause between two of its turns."""

    def __init__(self):
        self.longest = 0.0
        self._over = False
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def _tick(self):
        last = time.perf_counter()
        while not self._over:
            time.sleep(0.005)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now

    def stop(self):
        self._over = True
        self._thread.join()
        return self.longest


def hold(steps):
    watched = Watched(*steps)
    watched.start("rehearsal", wait=20)
    until(lambda: watched.status().log, what=watched.status)
    print(json.dumps(asdict(watched.status())), flush=True)
    threading.Event().wait(600)


def laps(steps):
    ticker = Ticker()
    with Watched(*steps, policy=Policy(start_timeout=1.5)) as watched:
        watched.start("rehearsal", wait=20)
        watched.stop(timeout=1.0)
    with Watched("wait", policy=Policy(start_timeout=1.5)) as watched:
        watched.start("rehearsal", wait=20)
    with Watched(argv=["/nonexistent/agent"]) as watched:
        watched.start("rehearsal", wait=20)
    print(json.dumps({"longest": ticker.stop()}), flush=True)


if __name__ == "__main__":
    {"hold": hold, "laps": laps}[sys.argv[2]](sys.argv[3:])
