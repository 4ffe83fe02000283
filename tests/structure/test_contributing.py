"""The worked examples of CONTRIBUTING.md are code that works: they are run as they stand there."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import msgspec
from livekit.agents import inference
from streaming_hub_client import bridge
from streaming_hub_client.conversation import Conversation

from streaming_hub.events.types import conversation, own_fields, summary
from tests.structure.sources import ROOT


def example(beginning: str) -> str:
    """Return the one Python example of CONTRIBUTING.md that begins so."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    (found,) = (block for block in map(textwrap.dedent, blocks) if block.startswith(beginning))
    return found


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
