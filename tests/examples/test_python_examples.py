"""examples/*.py against a real hub."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.hub import Hub
from tests.kit.process import ROOT, SECONDS, Program, free_port
from tests.kit.wait import until
from tests.streaming_hub.outlets.webhooks.receiving import Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Program]


def say(text: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "transcript",
        "participant": "alice",
        "role": "user",
        "room": "r1",
        "text": text,
        **fields,
    }


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def texts(webhook: Receiver, count: int) -> list[str]:
    """Wait for this many requests; return the texts of their events."""
    return [str(got.event.get("text")) for got in webhook.wait_for(count)]


def test_terminal_shows_finals_and_marks_what_was_cut_off(hub: Hub, run: Run) -> None:
    hub.publish(say("Hello there", is_final=True, segment_id="s1"))
    terminal = run("terminal.py", "--replay", "10")
    assert terminal.wait_for("Hello") == "alice: Hello there"
    hub.publish(say("Once upon", is_final=False, segment_id="s2"))
    hub.publish(say("Once upon a", is_final=True, interrupted=True, segment_id="s2"))
    assert terminal.wait_for("Once") == "alice: Once upon a [cut off]"


def test_terminal_shows_the_chosen_room_and_obeys_no_escapes(hub: Hub, run: Run) -> None:
    hub.publish(say("elsewhere", room="r2"))
    hub.publish(say("here\u001b[2J\u0007"))
    terminal = run("terminal.py", "--replay", "10", "--room", "r1")
    assert terminal.wait_for("here") == r"alice: here\x1b[2J\x07"
    assert terminal.lines == [r"alice: here\x1b[2J\x07"]


def test_terminal_continues_when_the_hub_comes_back(hub: Hub, run: Run) -> None:
    terminal = run("terminal.py", "--replay", "10")
    hub.publish(say("before"))
    terminal.wait_for("before")
    hub.kill()
    hub.start()
    hub.publish(say("after"))
    terminal.wait_for("after")
    assert [line for line in terminal.lines if line.startswith("alice")] == ["alice: before", "alice: after"]


@pytest.mark.parametrize("name", ["terminal.py", "forward_to_webhook.py", "into_database.py"])
def test_a_refusal_is_reported_in_one_line(run: Run, tmp_path: Path, name: str) -> None:
    arguments = {
        "terminal.py": [],
        "forward_to_webhook.py": ["http://127.0.0.1:9/", "--place", str(tmp_path / "p")],
        "into_database.py": [str(tmp_path / "t.db")],
    }[name]
    settings = {"STREAM_HISTORY": "memory://", "STREAM_SUBSCRIBE_KEYS": "a-key-to-read"}
    with Hub(tmp_path, **settings) as closed:
        program = run(name, *arguments, "--hub", closed.url, STREAM_KEY="another-key")
        assert program.wait() == 1
    (line,) = program.lines
    assert line.startswith("Refused by the hub: 401: The credential is not a key of this hub")
    assert line.endswith("Put a subscribe key into STREAM_KEY.")


def test_forwarder_delivers_all_in_order_through_refusals(
    hub: Hub, run: Run, webhook: Receiver, tmp_path: Path
) -> None:
    hub.publish({"type": "test", "text": "too early"})
    place = tmp_path / "position"
    webhook.plan.extend([503, 503])
    run("forward_to_webhook.py", webhook.url, "--place", str(place))
    until(place.exists)
    for text in ("one", "two", "three"):
        hub.publish(say(text))
    assert texts(webhook, 5) == ["one", "one", "one", "two", "three"]
    assert all(got.headers["idempotency-key"] == got.event["id"] for got in webhook.got)


def test_forwarder_that_was_killed_continues_where_it_was(
    hub: Hub, run: Run, webhook: Receiver, tmp_path: Path
) -> None:
    place = tmp_path / "position"
    arguments = (webhook.url, "--place", str(place))
    first = run("forward_to_webhook.py", *arguments)
    until(place.exists)
    receipt = hub.publish(say("one"))
    until(lambda: place.read_text() == receipt["id"])
    first.kill()
    hub.publish([say("two"), say("three")])
    run("forward_to_webhook.py", *arguments)
    assert texts(webhook, 3) == ["one", "two", "three"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_forwarder_follows_no_redirect_and_loses_nothing_to_one(
    hub: Hub, run: Run, webhook: Receiver, tmp_path: Path, status: int
) -> None:
    webhook.plan.append(status)
    webhook.headers["Location"] = "/elsewhere"
    place = tmp_path / "position"
    forwarder = run("forward_to_webhook.py", webhook.url, "--place", str(place), "--type", "transcript")
    until(place.exists)
    receipt = hub.publish(say("one"))
    assert "/elsewhere" in forwarder.wait_for(f"again in 0.5 s: {status}")
    assert texts(webhook, 2) == ["one", "one"]
    assert {got.path for got in webhook.got} == {"/"}
    until(lambda: place.read_text() == receipt["id"])


def rows(database: Path) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    with (
        contextlib.closing(sqlite3.connect(database, timeout=SECONDS)) as db,
        contextlib.suppress(sqlite3.Error),
    ):
        return db.execute(
            "SELECT room, participant, text, cut_off FROM transcripts ORDER BY at, rowid"
        ).fetchall()
    return []  # its tables are not there yet


def test_database_has_each_final_once_though_it_is_killed(hub: Hub, run: Run, tmp_path: Path) -> None:
    database = tmp_path / "transcripts.db"
    hub.publish(
        [say("stored before"), say("an interim", is_final=False), {"type": "test", "text": "no words"}]
    )
    first = run("into_database.py", str(database))
    until(lambda: len(rows(database)) == 1)
    hub.publish(say("cut", interrupted=True))
    until(lambda: len(rows(database)) == 2)
    first.kill()
    hub.publish(say("while it was away"))
    run("into_database.py", str(database))
    hub.publish(say("after"))
    until(lambda: len(rows(database)) == 4)
    assert rows(database) == [
        ("r1", "alice", "stored before", 0),
        ("r1", "alice", "cut", 1),
        ("r1", "alice", "while it was away", 0),
        ("r1", "alice", "after", 0),
    ]


ODD: list[Any] = [["Good morning."], {"a": 1}, 10**30, True, None, 1.5, "nul \0 in it", "\u2028"]


def test_odd_fields_stop_no_example(hub: Hub, run: Run, webhook: Receiver, tmp_path: Path) -> None:
    hub.publish([{"type": "transcript", "room": "r1", "participant": "alice", "text": text} for text in ODD])
    hub.publish(
        [say("interim", is_final=[0]), say("cut", interrupted="no"), {"type": "error", "reason": [1]}]
    )
    hub.publish({"type": "session_ended", "reason": {"a": 1}})
    hub.publish(say("after"))
    database = tmp_path / "transcripts.db"
    run("into_database.py", str(database))
    run("terminal.py", "--replay", "100", PYTHONIOENCODING="ascii").wait_for("alice: after")
    until(lambda: bool(rows(database)) and rows(database)[-1][2] == "after")
    stored = [row[2] for row in rows(database)]
    assert stored[: len(ODD)] == ['["Good morning."]', '{"a": 1}', str(10**30), "1", None, "1.5", *ODD[6:]]
    place = tmp_path / "position"
    place.write_text(hub.publish(say("first"))["id"])
    run("forward_to_webhook.py", webhook.url, "--place", str(place))
    hub.publish([{"type": "transcript", "text": text} for text in ODD])
    assert [got.event["text"] for got in webhook.wait_for(len(ODD))] == ODD


def test_a_database_that_another_program_has_locked_is_waited_for(hub: Hub, run: Run, tmp_path: Path) -> None:
    database = tmp_path / "transcripts.db"
    run("into_database.py", str(database))
    hub.publish(say("early"))
    until(lambda: len(rows(database)) == 1)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None, timeout=SECONDS)) as other:
        other.execute("BEGIN EXCLUSIVE")
        hub.publish(say("late"))
        time.sleep(7)  # longer than SQLite waits by itself
        other.execute("COMMIT")
    until(lambda: [row[2] for row in rows(database)] == ["early", "late"])


def test_forwarder_waits_for_a_hub_that_is_not_there_yet(run: Run, tmp_path: Path) -> None:
    forwarder = run(
        "forward_to_webhook.py",
        "http://127.0.0.1:9/",
        "--hub",
        f"http://127.0.0.1:{free_port()}",
        "--place",
        str(tmp_path / "position"),
    )
    forwarder.wait_for("The hub cannot be reached")


def test_examples_tell_of_a_gap(hub: Hub, run: Run, webhook: Receiver, tmp_path: Path) -> None:
    place = tmp_path / "position"
    place.write_text("elsewhere-7")
    run("forward_to_webhook.py", webhook.url, "--place", str(place))
    until(lambda: place.read_text() != "elsewhere-7")
    hub.publish(say("one"))
    assert webhook.wait_for(2)[0].event == {"type": "gap", "missed": None, "reason": "foreign"}
    database = tmp_path / "t.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE stream (position TEXT)")
        db.execute("INSERT INTO stream VALUES ('elsewhere-7')")
        db.commit()
    run("into_database.py", str(database)).wait_for("some events are missing (foreign)")


def test_the_receiver_of_the_readme_prints_what_is_forwarded(hub: Hub, run: Run, tmp_path: Path) -> None:
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    (receiver,) = re.findall(r"```python\n(from flask.*?)```", readme, re.DOTALL)
    assert len(receiver.splitlines()) <= 8
    port = free_port()
    file = tmp_path / "receiver.py"
    file.write_text(receiver.replace("9000", str(port)))
    receiving = Program([sys.executable, str(file)])
    try:
        receiving.wait_for("Running on")
        place = tmp_path / "position"
        place.write_text(hub.publish(say("before"))["id"])
        run("forward_to_webhook.py", f"http://127.0.0.1:{port}/hook", "--place", str(place))
        hub.publish(say("Hello there"))
        assert receiving.wait_for("Hello there") == "transcript Hello there"
    finally:
        receiving.kill()
