"""The one way in for events: redact, store, note the session.

    views, LiveKit's webhooks -> take       redacted by the operator's hook, stored, and their sessions noted
    the hub's own events      -> take_own   stored as they are (docs/explanation/privacy.md says why)

Nothing else in the hub calls `Hub.publish`. Knows no HTTP; what is stored is fanned out by the hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streaming_hub.agents.session_monitor import SessionMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streaming_hub.agents.recall import Recall
    from streaming_hub.events.posted import Event
    from streaming_hub.stream.hub import Hub, Receipt


class Intake:
    """Takes in events, for one hub.

    Args:
        hub: stores events and hands them to subscribers.
        redact: the operator's hook (`Redaction`); None where none is set.
        recall: brings the agent back to its rooms; None where LiveKit is not configured.

    Attributes:
        sessions: the sessions that the events belong to.

    Raises:
        StorageError: the history cannot be read.
    """

    def __init__(self, hub: Hub, redact: Callable[[Event], Event] | None, recall: Recall | None) -> None:
        self._hub = hub
        self._redact = redact
        self.sessions = SessionMonitor(hub.history, self.take_own, recall)

    def take(self, events: Sequence[Event], *, supervised: bool = False) -> Receipt:
        """Redact and store events that were posted, all or none, and note their sessions.

        Args:
            events: in their order.
            supervised: whether the agent process that the hub started sent them.

        Raises:
            Unavailable: they could not be redacted or stored; nothing was sent.
        """
        redact = self._redact
        if redact is not None:
            events = [redact(event) for event in events]
        if supervised and self._hub.history.shared:
            events = [msgspec.structs.replace(event, supervised=True) for event in events]
        receipt = self._hub.publish(events)
        if not self._hub.history.shared:
            # Else they come back, on every node, in the order of all nodes.
            self.sessions.saw(events, supervised=supervised)
        return receipt

    def take_own(self, events: Sequence[Event]) -> Receipt:
        """Store the hub's own events: the agent process's states, sessions' ends and reports, errors.

        The hook is for what was said, and a hook that fails must not stop these. Ends come from `sessions`, which has
        noted them.

        Raises:
            Unavailable: they could not be stored; nothing was sent.
        """
        return self._hub.publish(events)
