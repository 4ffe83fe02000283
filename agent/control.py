"""The control socket to the hub that started this process: reports states, and detects the hub's death.

Standard library only, because it runs before the heavy imports: between start and readiness the process must
already die with the hub. Without `AGENT_CONTROL_FD` (started by hand) it says nothing and watches nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from typing import Any

CONTROL_FD = "AGENT_CONTROL_FD"


class Control:
    """One end of the hub's socket pair.

    Args:
        connection: The inherited socket, or None when the process runs by hand.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._last: dict[str, Any] | None = None

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

    def watch(self) -> None:
        """Start the thread that ends this process group when the hub is gone."""
        if self._connection is not None:
            threading.Thread(target=self._wait_for_end, name="hub-watch", daemon=True).start()

    def tell(self, state: str, **fields: Any) -> None:
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
        self.tell("failed", reason=reason)
        sys.stderr.write(f"agent: {reason}\n")
        return 1

    def _wait_for_end(self) -> None:
        connection = self._connection
        if connection is None:
            return
        # A hub that died with our words unread resets the connection: that is its end, too. Nothing is
        # written about it, because the log's pipe broke with the hub.
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                continue  # the hub writes nothing; bytes are not the end
        # Children first die with the group. A process that leads no group of its own (started without
        # start_new_session) must not take its parent's group along.
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
