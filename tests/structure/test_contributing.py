"""The worked examples of CONTRIBUTING.md are code that works: they are run as they stand there."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from livekit.agents import inference
from streaming_hub_client import bridge
from streaming_hub_client.conversation import Conversation

from flask_server import create_app
from streaming_hub.events.types import conversation, own_fields, summary
from streaming_hub.settings import Settings
from streaming_hub.web import declared
from tests.structure.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def example(beginning: str) -> str:
    """Return the one Python example of CONTRIBUTING.md that begins so."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    (found,) = (block for block in map(textwrap.dedent, blocks) if block.startswith(beginning))
    return found


@pytest.fixture
def declared_here() -> Iterator[None]:
    """Take what the example declares out again."""
    kept = dict(declared.DECLARED)
    yield
    declared.DECLARED.clear()
    declared.DECLARED.update(kept)


@pytest.mark.usefixtures("declared_here")
def test_the_endpoint() -> None:
    place: dict[str, Any] = {"__name__": "clients"}
    # Under another name, so that trying the example in the project itself does not clash with it here.
    source = example('"""`GET /api/clients`').replace("/api/clients", "/api/example")
    exec(source.replace('Blueprint("clients"', 'Blueprint("example"'), place)
    app = create_app(Settings(history="memory://", subscribe_keys=("s-key",), operator_keys=("o-key",)))
    app.register_blueprint(place["blueprint"])
    client = app.test_client()
    assert client.get("/api/example").status_code == 401
    assert client.get("/api/example", headers={"X-API-Key": "s-key"}).get_json() == {"clients": 0}
    about = declared.declaration_of("GET", "/api/example").about
    assert about is not None
    (content,) = about().answers[0].contents
    assert msgspec.convert(content.examples["Example"], content.types[0]) == {"clients": 3}


def test_the_event_type() -> None:
    place: dict[str, Any] = dict(vars(conversation))
    exec(example("class "), place)
    kind = place["OverlappingSpeech"]
    assert kind.view == "viewer"
    assert summary(kind)
    assert [field["name"] for field in own_fields(kind)] == ["is_interruption"]
    assert msgspec.to_builtins(msgspec.convert(kind.example, kind)) == kind.example


def test_the_row_of_the_bridge() -> None:
    place: dict[str, Any] = dict(vars(bridge))
    exec(example("def overlapping_speech"), place)
    memory = Conversation("S1", "room-1", user="alice", agent="bot")
    payload = inference.OverlappingSpeechEvent(is_interruption=True, created_at=6.0)
    (event,) = place["overlapping_speech"](memory, payload)
    assert (event["type"], event["timestamp"], event["is_interruption"]) == ("overlapping_speech", 6.0, True)
