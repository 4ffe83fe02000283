"""The sessions whose leases this process renews, so that the hub notices if the process dies.

Each `session_started` gets a `lease`: the hub ends the session unless it is renewed within that many seconds. Pure
except for its lock; `streaming_hub_client.poster` sends the renewals.
"""

from __future__ import annotations

import threading
from typing import Any

LEASE_SECONDS = 15.0


class Leases:
    """The live sessions of this process. Thread-safe.

    Args:
        supervised: Whether the hub started this process and notices its end by itself.
    """

    def __init__(self, *, supervised: bool = False) -> None:
        self._supervised = supervised
        self._lock = threading.Lock()
        self._held: dict[str, str | None] = {}

    def note(self, event: dict[str, Any]) -> dict[str, Any]:
        """Record an event about to be sent; return it, with a `lease` added if it starts a session."""
        kind, session = event.get("type"), event.get("session_id")
        if not isinstance(session, str):
            return event
        if kind == "session_started":
            room = event.get("room")
            with self._lock:
                self._held[session] = room if isinstance(room, str) else None
            promise: dict[str, Any] = {"lease": LEASE_SECONDS}
            return event | promise | ({"supervised": True} if self._supervised else {})
        if kind == "session_ended":
            with self._lock:
                self._held.pop(session, None)
        return event

    def renewal(self) -> dict[str, Any] | None:
        """Return the body of `POST /api/agent/lease`; None if no session is live."""
        with self._lock:
            held = [
                {"session_id": session} | ({"room": room} if room is not None else {})
                for session, room in self._held.items()
            ]
        return {"sessions": held, "lease": LEASE_SECONDS} if held else None
