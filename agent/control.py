"""The control socket to the hub that started this process. Reports states, and receives leases and the hub's end.

Standard library only, because it runs before the heavy imports: between start and readiness the process must
already end with the hub. Without `AGENT_CONTROL_FD` (when started by hand) it does nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

CONTROL_FD = "AGENT_CONTROL_FD"


class Control:
    """One end of the hub's socket pair.

    Args:
        connection: The inherited socket, or None when the process runs by hand.

    Attributes:
        jobs_until: Until when new jobs may be taken, in seconds of `time.monotonic`, which all processes of a machine
            share. A hub of several nodes sets it again and again: it can only count on its lease for so long.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._last: dict[str, Any] | None = None
        self.jobs_until = math.inf

    @classmethod
    def from_env(cls) -> Control:
        """Take the socket named in AGENT_CONTROL_FD.

        Raises:
            ValueError: The setting is not the number of an open socket.
        """
        number = os.environ.pop(CONTROL_FD, "")
        if not number:
            return cls(None)
        try:
            connection = socket.socket(fileno=int(number))
        except (ValueError, OSError) as error:
            raise ValueError(f"{CONTROL_FD}={number!r} is not an open socket: {error}") from error
        connection.set_inheritable(False)
        return cls(connection)

    def end_with_hub(self) -> None:
        """Start the thread that ends this process group when the hub is gone."""
        if self._connection is not None:
            threading.Thread(target=self._wait_for_end, name="hub-watch", daemon=True).start()

    def takes_jobs(self) -> bool:
        """Return whether a new job may be taken now."""
        return time.monotonic() < self.jobs_until

    def report(self, state: str, **fields: Any) -> None:
        """Report a state to the hub; a repeat of the last one is not sent.

        Args:
            state: `ready`, `running`, `failed` or `draining`.
            **fields: `sessions`; `reason`: why it failed, or why it gets no new rooms for now.
        """
        message = {"state": state, **fields}
        with self._lock:
            if self._connection is None or message == self._last:
                return
            self._last = message
            try:
                self._connection.sendall(json.dumps(message).encode() + b"\n")
            except OSError:  # the hub is gone: the watching thread ends this process
                self._connection = None

    def refuse(self, reason: str) -> int:
        """Report why the agent does not run, to the hub and in the log.

        Args:
            reason: One sentence that says what to do.

        Returns:
            The exit code.
        """
        self.report("failed", reason=reason)
        sys.stderr.write(f"agent: {reason}\n")
        return 1

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            self.jobs_until = float(message["jobs_until"])
        except (ValueError, TypeError, KeyError, RecursionError):
            # Written by a newer hub; that is not the end.
            return

    def _wait_for_end(self) -> None:
        connection = self._connection
        if connection is None:
            return
        # A hub that died with our words unread resets the connection: that is its end, too. Nothing is
        # written about it, because the log's pipe broke with the hub.
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                self._take(line)
        # Children first die with the group. A process that leads no group of its own (started without
        # start_new_session) must not take its parent's group along.
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
