"""A hub that is away for half a minute during a rehearsal: a real worker, a real session, a real hub."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.crowd import Crowd
from tests.kit.hub import Hub
from tests.kit.process import ROOT, environ
from tests.kit.wait import let_pass, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

AWAY_SECONDS = 30.0


@contextlib.contextmanager
def talking_agent(server: Hub, posted: Path, spool: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A rehearsal started by hand, so it does not die with the hub."""
    settings = {"STREAM_URL": server.url, "AGENT_MODE": "rehearsal", "AGENT_SPOOL_DIR": str(spool)}
    with log.open("wb") as out:
        agent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.numbering_worker", str(posted)],
            cwd=ROOT,
            env=environ(**settings),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield agent
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()


def posted_so_far(path: Path) -> int:
    return path.read_text().count("\n")


def test_half_a_minute_without_hub_loses_no_word_of_a_conversation(tmp_path: Path) -> None:
    posted, spool, log = tmp_path / "posted", tmp_path / "spool", tmp_path / "agent.log"
    with (
        Hub(tmp_path / "server") as server,
        Crowd(server.host, server.port) as crowd,
        talking_agent(server, posted, spool, log) as agent,
    ):
        # Its interims may be struck out on the way to a reader, never in the store.
        (reader,) = crowd.add(whole=False)
        until(
            lambda: "agent_speech_started" in [event["type"] for event in server.stored()], 40, log.read_text
        )
        server.kill()
        gone, before = time.time(), posted_so_far(posted)
        let_pass(AWAY_SECONDS)
        assert posted_so_far(posted) > before + 20
        assert [path.stat().st_size > 1000 for path in spool.iterdir()] == [True]
        server.start()
        back = time.time()
        until(lambda: len(server.stored()) >= posted_so_far(posted) - 1, 30, log.read_text)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(10) == 0

        stored = server.stored()
        rows = [line.split() for line in posted.read_text().splitlines()]
        assert [event["serial"] for event in stored if "serial" in event] == list(range(len(rows)))
        assert "events_dropped" not in [event["type"] for event in stored]
        spoken = [event for event in stored if event["type"] == "agent_speech_started"]
        assert [event for event in spoken if gone < event["timestamp"] < back]
        assert not spool.exists() or not list(spool.iterdir())
        waits = sorted(float(seconds) for _, seconds in rows)
        assert waits[len(waits) // 2] < 0.0002
        print(f"the session waited {waits[int(len(waits) * 0.99)] * 1000:.3f} ms for the poster (p99)")
        crowd.until_at(int(stored[-1]["id"].rpartition("-")[2]), [reader])
        assert crowd.errors() == []
        assert reader.checker.resets == []
