"""The disk and the file: full, read-only, corrupt, in use by another server, large, and growing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from streaming_hub.events import posted
from streaming_hub.history.sqlite import MOST_ROWS_WAITING, SqliteHistory
from tests.faults.crowd import Crowd
from tests.faults.publishers import Publisher, assert_all_right, assert_all_stored
from tests.faults.test_server_crashes import assert_whole
from tests.kit.hub import Hub
from tests.kit.wait import allowed, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

DISK_BYTES = 48 * 1024 * 1024
STORED = 100_000


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory of a given size; skips where this may not be mounted."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # What a failed test left open must not keep it mounted.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_refuses_keeps_what_it_has_and_continues(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "server" / "data", f"size={DISK_BYTES}") as disk,
        Hub(tmp_path / "server") as server,
        Crowd(server.host, server.port) as crowd,
        Publisher(server, "single", pause=0.01, size=1000) as single,
        Publisher(server, "batch", batch=20, pause=0.05, size=1000) as batch,
    ):
        crowd.add(5)
        crowd.until_open()
        until(lambda: len(single.ids) > 50 and len(batch.ids) > 100)
        ballast = disk / "ballast"
        fill(ballast)
        until(lambda: single.refused > 3 and batch.refused > 3, 30)
        status, fields, body = server.request(
            "POST", "/api/agent/data", {"type": "test", "text": "x" * 60_000}
        )
        assert (status, fields["content-type"]) == (503, "application/problem+json")
        assert b"full" in body
        # Reading and health do not need the disk's free space.
        health = server.json("GET", "/api/health")
        assert health["history"] == "away"
        assert "full" in health["reason"]
        assert len(server.stored()) >= len(single.ids) + len(batch.ids)

        ballast.unlink()
        done = len(single.ids), len(batch.ids)
        until(lambda: len(single.ids) > done[0] + 50 and len(batch.ids) > done[1] + 100, 30)
        assert server.json("GET", "/api/health")["history"] == "ok"
        single.stop()
        batch.stop()
        crowd.until_at(max(single.head, batch.head))
        assert_all_right([single, batch], crowd.errors())
        assert_all_stored(server, [single, batch])
        server.kill()
        assert_whole(server.database)
        server.start()
        assert_all_stored(server, [single, batch])


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def refusal(server: Hub) -> str:
    """Start a server that must not come up; return what it says."""
    assert server.spawn().wait() == 2
    said = server.log.strip()
    assert "Traceback" not in said
    return said


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path) -> None:
    server = Hub(tmp_path / "server")
    if os.geteuid():
        server.database.parent.mkdir(mode=0o500)
        said = refusal(server)
    else:  # permissions do not bind root
        with mounted(server.database.parent, "ro"):
            said = refusal(server)
    assert said.count("\n") == 0
    assert "data/events.db: cannot be written" in said
    assert "STREAM_HISTORY" in said


def test_a_corrupt_file_is_set_aside_and_clients_are_notified(tmp_path: Path) -> None:
    with Hub(tmp_path) as server, Crowd(server.host, server.port) as crowd:
        clients = crowd.add(5)
        with Publisher(server, "before", batch=20, count=500, size=500) as before:
            before.finish()
        crowd.until_at(before.head)
        epoch = before.ids[0].partition("-")[0]
        assert server.stop()[0] in (0, 143)
        content = bytearray(server.database.read_bytes())
        content[4096 : len(content) // 2] = os.urandom(len(content) // 2 - 4096)
        server.database.write_bytes(content)
        server.start()
        assert "corrupt" in server.log
        aside = [path for path in server.database.parent.iterdir() if "corrupt" in path.name]
        assert aside[0].read_bytes() == bytes(content)

        until(lambda: all(client.checker.resets for client in clients))
        with Publisher(server, "after", count=20) as after:
            after.finish()
        assert after.ids[0].partition("-")[0] != epoch
        crowd.until_at(after.head)
        assert_all_right([before, after], crowd.errors())
        assert {tuple(client.checker.resets) for client in clients} == {("foreign",)}
        assert {client.checker.numbers["after"] for client in clients} == {19}


def test_a_second_server_on_the_same_file_is_refused_and_the_first_continues(tmp_path: Path) -> None:
    with (
        Hub(tmp_path / "first") as first,
        Crowd(first.host, first.port) as crowd,
        Publisher(first, "a", pause=0.005) as publisher,
    ):
        crowd.add(3)
        crowd.until_open()
        second = Hub(tmp_path / "second", STREAM_HISTORY=f"sqlite:///{first.database}")
        for _ in range(3):
            said = refusal(second)
        assert "another server has this history open" in said
        done = len(publisher.ids)
        until(lambda: len(publisher.ids) > done + 20)
        publisher.stop()
        crowd.until_at(publisher.head)
        assert_all_right([publisher], crowd.errors())
        assert_all_stored(first, [publisher])
        # A killed server holds nothing back: its lock ends with it.
        first.kill()
        with second:
            assert_all_stored(second, [publisher])


def fill_history(path: Path, count: int) -> None:
    history = SqliteHistory(path, max_events=count, max_age=1e9, sync="normal", now=1.0)
    for start in range(0, count, 1000):
        history.append(
            [
                posted.make(
                    {
                        "type": "transcript",
                        "room": "r",
                        "text": "words " * 20,
                        "event_id": f"e{start + number}",
                    }
                )
                for number in range(1000)
            ],
            time.time(),
        )
    history.close()


def seconds_to_open(path: Path) -> float:
    """Return the shortest of three times, because others use this machine, too."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        SqliteHistory(path, max_events=STORED, max_age=1e9, sync="normal", now=time.time()).close()
        times.append(time.perf_counter() - begun)
    return min(times)


def seconds_to_start(server: Hub) -> float:
    """Return the shorter of two times."""
    times = []
    for _ in range(2):
        server.kill()
        begun = time.monotonic()
        server.start()
        times.append(time.monotonic() - begun)
    return min(times)


def test_a_hundred_thousand_stored_events_open_in_under_a_second(tmp_path: Path) -> None:
    with Hub(tmp_path / "empty") as empty:
        without = seconds_to_start(empty)
    full = Hub(tmp_path / "full")
    full.database.parent.mkdir()
    fill_history(full.database, STORED)
    assert seconds_to_open(full.database) < allowed(1.0)
    with full:
        started = seconds_to_start(full)
        assert len(full.json("GET", "/api/events?limit=1000")["events"]) == 1000
        assert full.metric("hub_history_head") == STORED
    assert started - without < allowed(1.0)


def test_retention_keeps_up_with_fast_publishing(tmp_path: Path) -> None:
    kept = 2000
    changes = {"streaming_hub.history.wal:LARGE_BYTES": 4_000_000}
    with (
        Hub(tmp_path, changes=changes, STREAM_HISTORY_MAX_EVENTS=str(kept)) as server,
        Crowd(server.host, server.port) as crowd,
        Publisher(server, "batch", batch=200, size=500) as batch,
        Publisher(server, "single", size=500) as single,
    ):
        crowd.add(2)
        crowd.until_open()
        most = most_rows_until(server, batch, 150_000)
        batch.stop()
        single.stop()
        assert_all_right([batch, single], [])
        crowd.until_at(max(batch.head, single.head))
        assert crowd.errors() == []
        # However fast the machine is: an append removes what would be too much.
        assert kept <= most <= kept + MOST_ROWS_WAITING
        # 150,000 events are over 100 MB. Pages are used again, so the file is as large as its rows at most ever were.
        assert server.database.stat().st_size < (kept + MOST_ROWS_WAITING) * 2000
        assert server.metric("hub_history_oldest") == server.metric("hub_history_head") - kept + 1
        until(lambda: rows_on_disk(server) == kept, 60)


def most_rows_until(server: Hub, publisher: Publisher, count: int) -> int:
    """Return the most rows that its file was seen with until this many events were published."""
    seen = [0]

    def enough() -> bool:
        seen.append(rows_on_disk(server))
        return len(publisher.ids) >= count

    until(enough, 100)
    return max(seen)


def rows_on_disk(server: Hub) -> int:
    with contextlib.closing(sqlite3.connect(server.database)) as db:
        count: int = db.execute("SELECT count(*) FROM events").fetchone()[0]
    return count
