"""Erased is erased: on disk, in memory, in queues, in snapshots; and no other user can read the file."""

from __future__ import annotations

import re
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from streaming_hub.web.current import services_of
from tests.kit.callers import ask, hub, stored
from tests.kit.sse import frames, read
from tests.streaming_hub.server.wire import (
    PATIENCE,
    Answer,
    connect,
    open_stream,
    request_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.hub import Hub

WORD = "marmalade"
PAD = "x" * 3000


def talk(room: str, number: int) -> dict[str, Any]:
    text = f"{WORD}-{number}-{PAD}" if room == "secret" else f"plain-{number}"
    return {"type": "transcript", "is_final": True, "room": room, "session_id": f"s-{room}", "text": text}


def files_hold(folder: Path, word: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and word.encode() in path.read_bytes()]


def read_until(answer: Answer, text: str) -> list[dict[str, Any]]:
    """Read until a text has come; comments are passed over, as every client does."""
    deadline = time.monotonic() + PATIENCE
    while f'"text": "{text}"'.encode() not in answer.body or not answer.body.endswith(b"\n\n"):
        assert time.monotonic() < deadline, f"{text} did not come"
        assert answer._read(), "the stream was closed"
    return frames(re.sub(rb"^:+\n", b"", answer.body, flags=re.MULTILINE))


def erase(server: Hub, path: str) -> Any:
    answer = requests.delete(f"{server.url}{path}", timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer.json()["erased"]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Hub]) -> Hub:
    return start_server(STREAM_QUEUE_SIZE="100000").wait_until_up()


@pytest.mark.parametrize("path", ["/api/rooms/secret/events", "/api/sessions/s-secret"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_erasure_reaches_file_log_queue_and_snapshot(server: Hub, path: str, version: str) -> None:
    data = server.folder / "data"
    # A client that reads nothing: events wait for it in the socket, in a write under way, and in its queue.
    sock = connect(server.port, receive_buffer=4096)
    sock.sendall(request_bytes("GET", "/api/stream", version=version))
    server.wait_for_clients(1)
    count = 5000
    for start in range(0, count, 250):
        batch = [talk("secret" if n % 10 else "open", n) for n in range(start, start + 250)]
        assert server.post(batch).status_code == 200
    assert files_hold(data, WORD)
    assert WORD in server.get("/api/rooms/secret").text
    assert erase(server, path) == count * 9 // 10
    # A reader that catches up may hold the log for a moment; it is emptied right after.
    deadline = time.monotonic() + PATIENCE
    while held := files_hold(data, WORD):
        assert time.monotonic() < deadline, f"the words are still in {held}"
    assert WORD not in server.get("/api/events?limit=1000").text
    assert server.get("/api/rooms/secret").status_code == 404
    assert server.get("/api/rooms").text.count("secret") == 0
    snapshot = open_stream(server.port, "?snapshot=1&replay=1000").until_type("snapshot")
    assert WORD not in str(snapshot)
    # Now it reads on. What the kernel had taken cannot be called back: all else must be gone.
    answer = Answer(sock)
    found = read_until(answer, f"plain-{count - 10}")
    seen = [int(f["text"].split("-")[1]) for f in found if f.get("text", "").startswith(WORD)]
    assert len(seen) < count * 0.6, "what waited for the slow client was sent after it had been erased"
    plain = [f["text"] for f in found if f.get("text", "").startswith("plain")]
    assert plain == [f"plain-{n}" for n in range(0, count, 10)]
    ids = [int(f["id"].split("-")[1]) for f in found if "text" in f]
    assert ids == sorted(set(ids))
    assert b":::" in answer.body or not seen or version == "1.0"


def test_what_waits_in_the_queue_of_a_client_that_keeps_up_is_erased_too() -> None:
    app = hub()
    stream = ask(app, "GET", "/api/stream")
    sent = read(stream)
    assert next(sent)["type"] == "connected"
    core = services_of(app).hub
    subscriber = core.subscribers()[0]
    core.pull(subscriber)
    assert subscriber.live
    batch = [talk("secret", 1), talk("open", 2), talk("secret", 3), talk("open", 4)]
    ask(app, "POST", "/api/agent/data", json=batch)
    assert subscriber.waiting == 4
    assert ask(app, "DELETE", "/api/rooms/secret/events").json["erased"] == 2
    assert [one["text"] for one in stored(stream, 2)] == ["plain-2", "plain-4"]


def test_what_is_erased_stays_erased_after_a_restart(
    start_server: Callable[..., Hub], tmp_path: Path
) -> None:
    first = start_server(folder=tmp_path).wait_until_up()
    head = first.post([talk("secret", 1), talk("open", 2)]).json()["ids"][-1]
    assert erase(first, "/api/rooms/secret/events") == 1
    first.process.kill()
    first.wait()
    second = start_server(folder=tmp_path).wait_until_up()
    listed = second.get("/api/events").json()["events"]
    assert [one["text"] for one in listed] == ["plain-2"]
    assert files_hold(tmp_path / "data", WORD) == []
    after = second.post(talk("open", 3)).json()["id"]
    assert int(after.split("-")[1]) == int(head.split("-")[1]) + 1


def test_the_file_is_its_owners_alone(server: Hub) -> None:
    server.post(talk("open", 1))
    data = server.folder / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir() if path.is_file()}
    assert {"events.db", "events.db-wal"} <= set(modes)
    assert set(modes.values()) == {0o600}


def shout(fields: dict[str, Any]) -> dict[str, Any]:
    """A redaction hook."""
    return {**fields, "text": "(left out)"} if "text" in fields else fields


def test_a_redaction_hook_runs_before_anything_is_stored_or_sent() -> None:
    app = hub(redact="tests.streaming_hub.web.test_privacy:shout")
    for body in (
        {"type": "transcript", "room": "a", "text": WORD},
        [{"type": "transcript", "room": "a", "text": WORD}],
    ):
        assert ask(app, "POST", "/api/agent/data", json=body).status_code == 200
    for path in ("/api/events", "/api/rooms/a"):
        text = ask(app, "GET", path).text
        assert "(left out)" in text
        assert WORD not in text
