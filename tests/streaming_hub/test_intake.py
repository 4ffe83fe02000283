"""Every event enters the same way: redacted, stored, its session noted."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from streaming_hub.errors import Unavailable
from streaming_hub.events import posted as events
from streaming_hub.events.interest import EVERYTHING
from streaming_hub.history.page import Limit
from streaming_hub.intake import Intake
from streaming_hub.stream.hub import Hub
from tests.streaming_hub.making import NOW, memory, posted
from tests.structure.sources import modules, name_of

if TYPE_CHECKING:
    from streaming_hub.events.posted import Event


def masked(event: Event) -> Event:
    return events.rebuild(event, {**events.fields_of(event), "text": "***"})


def intake(redact: object = None) -> tuple[Intake, Hub]:
    hub = Hub(memory(), queue_size=16, clock=lambda: NOW)
    return Intake(hub, redact, None), hub  # type: ignore[arg-type] # None, or one of the hooks here


def stored(hub: Hub) -> list[bytes]:
    return [entry.data for entry in hub.history.since(0, EVERYTHING, Limit()).entries]


def test_what_is_posted_is_redacted_before_it_is_stored() -> None:
    door, hub = intake(masked)
    receipt = door.take([posted("transcript", text="my number"), posted("transcript", text="again")])
    assert len(receipt.ids) == 2
    assert all(b'"***"' in data for data in stored(hub))
    assert not any(b"number" in data for data in stored(hub))


def test_when_one_of_a_batch_cannot_be_redacted_none_is_stored_or_noted() -> None:
    def refuse(event: Event) -> Event:
        if event.type == "transcript":
            raise Unavailable("the hook failed")
        return event

    door, hub = intake(refuse)
    with pytest.raises(Unavailable):
        door.take([posted("session_started", session_id="s", lease=15), posted("transcript", text="secret")])
    assert stored(hub) == []
    assert door.sessions.answered_for() == []


def test_sessions_are_noted_once_their_events_are_stored() -> None:
    door, _ = intake()
    started = posted("session_started", session_id="s", room="a")
    door.take([started], supervised=True)
    assert door.sessions.answered_for() == [("s", "a")]
    door.take([posted("session_ended", session_id="s", room="a")])
    assert door.sessions.answered_for() == []
    door.take([posted("session_started", session_id="other")])
    assert door.sessions.answered_for() == []


def test_hubs_own_events_are_stored_as_they_are() -> None:
    def fail(_: Event) -> Event:
        raise Unavailable("the hook failed")

    door, hub = intake(fail)
    door.sessions.publish([events.make({"type": "agent_process", "state": "ready"})])
    assert b'"agent_process"' in stored(hub)[0]


def test_nothing_else_of_the_hub_publishes() -> None:
    def publishes(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Attribute)
            and node.attr == "publish"
            and isinstance(node.value, (ast.Name, ast.Attribute))
            and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr).strip("_") == "hub"
        )

    found = {
        name_of(path)
        for path in modules("streaming_hub", "flask_server.py")
        if any(publishes(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {"streaming_hub.intake"}
