"""Starts and ends the demo's child process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from streaming_hub import resources

ENDING_SECONDS: Final = 5.0


class DemoProcess:
    """A running child that posts simulated calls. It ends when this object, or the hub, does.

    Args:
        url: where it reaches the hub.
        key: what it publishes with.
        count: how many calls it simulates at once.
    """

    def __init__(self, url: str, key: str, count: int) -> None:
        path = os.pathsep.join(filter(None, (resources.import_path(), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603 - our own module, with a number and our own address
            [sys.executable, "-m", "streaming_hub.demo", url, str(count)],
            env={**os.environ, "STREAM_PUBLISH_KEY": key, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the hub
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def stop(self) -> None:
        """End it: close its standard input, and kill it if that is not enough."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
