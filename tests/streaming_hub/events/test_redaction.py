"""The operator's own callable that decides what is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.errors import SettingsError, Unavailable
from streaming_hub.events.posted import MAX_EVENT_BYTES, fields_of
from streaming_hub.events.redaction import Redaction
from tests.streaming_hub.making import posted

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests.streaming_hub.events.test_redaction"
not_callable = "text"


def mask(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "text": "***"}


def fail(fields: dict[str, Any]) -> dict[str, Any]:
    raise KeyError(fields["text"])


def forget_event(fields: dict[str, Any]) -> None:
    """Answer nothing, as a hook does that changes the dict in place."""


def control(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "heartbeat"}


def unencodable(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "a", "x": object()}


def leave(fields: dict[str, Any]) -> dict[str, Any]:
    raise SystemExit(3)


def interrupt(fields: dict[str, Any]) -> dict[str, Any]:
    raise KeyboardInterrupt


def close(fields: dict[str, Any]) -> dict[str, Any]:
    raise GeneratorExit


def grow(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "x": "y" * MAX_EVENT_BYTES}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f(e:", "SyntaxError in .*broken.py, line 1"),
        ("\nraise RuntimeError('hunter2')", "RuntimeError in .*broken.py, line 2"),
        ("raise SystemExit(3)", "SystemExit in .*broken.py, line 1"),
    ],
)
def test_a_module_that_fails_keeps_the_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SettingsError, match=f"^STREAM_REDACT='broken:f': broken cannot be imported: {why}.$"):
        Redaction("broken:f")


def test_what_it_answers_is_what_is_stored() -> None:
    kept = Redaction(f"{HERE}:mask")(posted("transcript", text="my number", room="a", event_id="e"))
    assert fields_of(kept)["text"] == "***"
    assert b"my number" not in kept.body
    assert (kept.room, kept.event_id) == ("a", "e")


@pytest.mark.parametrize(
    "hook", ["fail", "forget_event", "control", "unencodable", "leave", "interrupt", "close", "grow"]
)
def test_when_it_fails_nothing_is_stored_and_nothing_is_reported(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unavailable) as refused:
        Redaction(f"{HERE}:{hook}")(posted("transcript", text="my number"))
    assert "STREAM_REDACT" in caplog.text
    assert "my number" not in caplog.text + refused.value.detail


@pytest.mark.parametrize(
    "path", ["no.such.module:x", f"{HERE}:no_such_name", f"{HERE}:not_callable", "json:"]
)
def test_a_hook_that_is_not_there_keeps_the_server_from_starting(path: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_REDACT"):
        Redaction(path)
