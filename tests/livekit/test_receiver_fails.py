"""Agents whose uploads the hub cannot take as it should: the call continues, the job ends on time, the room closes.

An agent without a line about the hub uploads to it (LIVEKIT_OBSERVABILITY_URL). Each test lets the hub be away or slow
when the call ends, which is when LiveKit's SDK waits for its uploads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from streaming_hub.archive.uploads import spool
from tests.kit.proc import descendants, living
from tests.kit.process import Program, needs_proc
from tests.kit.wait import allowed, until
from tests.livekit.processes import HubServer
from tests.livekit.test_watcher import HELLO, Place
from tests.stubs.script import GREETING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.livekit.participant import Participant
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240), needs_proc]

ROOM = "support-7"
KILLED = "killing process"
"""In the log of LiveKit's worker: a job's process did not end by itself."""
ENDED = "process exiting"
SDK_SECONDS = 40.0
"""How long LiveKit's SDK may take to give a dead receiver up: 18 s on a quiet machine."""
DEPARTURE_SECONDS = 20.0
"""How long livekit-server keeps a room that people have left (`departure_timeout`)."""


class Call:
    """A call with an agent that uploads to an address.

    Args:
        place: livekit-server.
        stub: the models.
        url: where the uploads go.
    """

    def __init__(self, place: Place, stub: OpenAIStub, url: str) -> None:
        stub.learn(HELLO)
        self.place = place
        self.agent: Program = place.agent(stub, LIVEKIT_OBSERVABILITY_URL=url)

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """Hear the greeting, let the hub fail, ask something, hear the answer, and leave."""
        with self.place.person(ROOM) as alice:
            alice.wait_for_agent()
            alice.words.wait(lambda one: one.final and one.text == GREETING, seconds=60, text="the greeting")
            yield
            time.sleep(1)
            alice.say(HELLO)
            answer = f"You said: {HELLO}"
            alice.words.wait(lambda one: one.final and one.text == answer, seconds=60, text="the answer")
        self.left = time.monotonic()

    def ends(self, within: float) -> None:
        """Wait until the room is closed and the job's process has ended, and hold both against their times."""
        until(lambda: ROOM not in self.place.rooms(), seconds=120, what="the room is closed")
        closed = time.monotonic()
        assert closed - self.left < DEPARTURE_SECONDS + 25, "the room closes as without uploads"
        until(lambda: ENDED in self.agent.log or KILLED in self.agent.log, seconds=120, what="the job ends")
        assert time.monotonic() - closed < within

    def takes_the_next(self) -> None:
        """The worker still takes calls."""
        with self.place.person("next", "bob") as bob:
            bob.wait_for_agent(60)


@pytest.fixture
def place(tmp_path: Path, _needs_livekit_server: None) -> Iterator[Place]:
    """A livekit-server."""
    with Place(tmp_path) as here:
        yield here


def test_a_receiver_that_is_down_delays_the_end_of_a_job_and_nothing_else(
    place: Place, stub: OpenAIStub
) -> None:
    hub = place.hub(STREAM_WATCH="off")
    call = Call(place, stub, hub.url)
    with call.talking():
        hub.stream.wait("session_started", room=ROOM, seconds=60)
        hub.kill()
    call.ends(SDK_SECONDS)
    call.takes_the_next()


def test_uploads_are_taken_while_the_archive_stands_still(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub(STREAM_WATCH="off")
    call = Call(place, stub, hub.url)
    with call.talking():
        hub.stream.wait("session_started", room=ROOM, seconds=60)
        archive = _archive_of(hub.pid)
        # The hub replaces it in a while.
        os.kill(archive, signal.SIGSTOP)
    call.ends(10)
    assert KILLED not in call.agent.log
    assert _errors(call.agent) == []
    over = hub.stream.wait("session_ended", room=ROOM, seconds=60)
    assert over["reason"] == "participant_disconnected"
    said = [(one["role"], one["text"]) for one in hub.stream.of_type("transcript")]
    assert sorted(said) == sorted([("agent", GREETING), ("user", HELLO), ("agent", f"You said: {HELLO}")])


def test_a_full_spool_drops_uploads_and_the_call_goes_on(
    place: Place, stub: OpenAIStub, tmp_path: Path
) -> None:
    hub = place.hub(STREAM_WATCH="off")
    call = Call(place, stub, hub.url)
    folder = tmp_path / "uploads"
    others = folder / f"{'9' * 20}-1-00000001{spool.SUFFIX}"
    with contextlib.closing(sqlite3.connect(tmp_path / "archive.db", isolation_level=None)) as lock:
        with place.person(ROOM) as alice:
            alice.wait_for_agent()
            alice.words.wait(lambda one: one.final and one.text == GREETING, seconds=60, text="the greeting")
            told = hub.stream.wait("transcript", room=ROOM, text=GREETING, seconds=60)
            before = _answers(alice)
            lock.execute("BEGIN IMMEDIATE")
            _answers(alice, 2)
            until(lambda: _metric(hub, "hub_uploads_waiting ") > 0, what=lambda: hub.log)
            # What others have uploaded; sparse, so it takes no disk.
            with others.open("wb") as file:
                file.truncate(spool.MAX_BYTES)
            after = _answers(alice, 3)
        call.left = time.monotonic()
        call.ends(10)
        assert KILLED not in call.agent.log
        assert _errors(call.agent) == [], "each upload got its 200"
        assert {"traces", "logs", "recordings"} <= set(_uploads(hub, "dropped"))
        assert f"{folder} is full" in hub.log
        # On a busy machine the two differ; a request that is held costs 10 s.
        assert after < before + allowed(3)
        others.unlink()
    until(lambda: _metric(hub, "hub_uploads_waiting ") == 0, seconds=120, what=lambda: hub.log)
    over = hub.stream.wait("session_ended", session_id=told["session_id"], seconds=150)
    assert over["reason"] == "worker_lost", "its end was dropped"
    lost = _uploads(hub, "dropped")
    with place.person("next", "bob") as bob:
        bob.wait_for_agent(60)
        bob.words.wait(lambda one: one.final and one.text == GREETING, seconds=60, text="the greeting")
    over = hub.stream.wait("session_ended", room="next", seconds=120)
    assert over["reason"] == "participant_disconnected"
    assert _uploads(hub, "dropped") == lost, "nothing more is dropped"
    about = f"/api/sessions/{over['session_id']}"
    until(lambda: (hub.get(about)["reconciliation"] or {}).get("complete"), what=lambda: hub.get(about))


def test_a_hub_that_restarts_in_mid_call_has_the_rest_and_names_what_it_missed(
    place: Place, stub: OpenAIStub, tmp_path: Path
) -> None:
    settings = {**place.livekit.environment, "STREAM_WATCH": "off"}
    with HubServer(tmp_path, settings, place.port) as first:
        call = Call(place, stub, first.url)
        with place.person(ROOM) as alice:
            alice.wait_for_agent()
            alice.words.wait(lambda one: one.final and one.text == GREETING, seconds=60, text="the greeting")
            started = first.stream.wait("session_started", room=ROOM, seconds=60)
            first.kill_group()
            alice.say(HELLO)
            _answered(alice)
            with HubServer(tmp_path, settings, place.port) as second:
                alice.say(HELLO)
                _answered(alice, 2)
                alice.leave()
                over = second.stream.wait("session_ended", session_id=started["session_id"], seconds=120)
                assert over["reason"] == "participant_disconnected"

                def told() -> dict[str, Any] | None:
                    found: dict[str, Any] | None = second.get(f"/api/sessions/{over['session_id']}")[
                        "reconciliation"
                    ]
                    return found

                until(lambda: told() is not None, seconds=60, what="the report is compared")
                found = told()
                assert found is not None
                session = second.get(f"/api/sessions/{over['session_id']}")
                said = [(line["role"], line["text"]) for line in session["transcript"]]
                missing = [(line["role"], line["text"]) for line in found["missing"]]
                answer = ("agent", f"You said: {HELLO}")
                assert sorted(said + missing) == sorted(
                    [("agent", GREETING), ("user", HELLO), answer, ("user", HELLO), answer]
                )
                assert found["complete"] is (missing == [])
    assert KILLED not in call.agent.log


def test_a_job_that_crashes_ends_its_session(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub(STREAM_WATCH="off")
    call = Call(place, stub, hub.url)
    with place.person(ROOM) as alice:
        alice.wait_for_agent()
        started = hub.stream.wait("session_started", room=ROOM, seconds=60)
        call.agent.kill_group()
        # livekit-server's webhook reports that the agent has left.
        over = hub.stream.wait("session_ended", session_id=started["session_id"], seconds=150)
        assert over["reason"] == "worker_lost"


def test_two_rooms_at_once_are_two_sessions(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub(STREAM_WATCH="off")
    Call(place, stub, hub.url)
    with place.person("north", "ann") as ann, place.person("south", "bob") as bob:
        for person in (ann, bob):
            person.wait_for_agent()
        for room in ("north", "south"):
            hub.stream.wait("transcript", room=room, text=GREETING, seconds=60)
    for room, person in (("north", "ann"), ("south", "bob")):
        over = hub.stream.wait("session_ended", room=room, seconds=120)
        seen = [one for one in hub.stream.events.all() if one["session_id"] == over["session_id"]]
        assert {one["room"] for one in seen} == {room}
        people = {
            one["identity"]
            for one in hub.get(f"/api/sessions/{over['session_id']}")["session"]["participants"]
        }
        assert people - {f"agent-{over['session_id']}"} <= {person}


def _answers(alice: Participant, times: int = 1) -> float:
    """Ask, and return the seconds from the question's end to the answer's first sound."""
    asked = alice.say(HELLO)
    begun = alice.heard.wait(lambda one: one.began > asked, seconds=60, text="the answer").began
    _answered(alice, times)
    return begun - asked


def _metric(hub: HubServer, name: str) -> float:
    lines = requests.get(f"{hub.url}/metrics", timeout=30).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def _uploads(hub: HubServer, outcome: str) -> dict[str, float]:
    """Return how many uploads had an outcome, by kind."""
    counts = {
        kind: _metric(hub, f'hub_uploads_total{{kind="{kind}",outcome="{outcome}"}}')
        for kind in ("traces", "logs", "metrics", "recordings")
    }
    return {kind: count for kind, count in counts.items() if count}


def _answered(alice: Participant, times: int = 1) -> None:
    answer = f"You said: {HELLO}"
    until(
        lambda: sum(one.final and one.text == answer for one in alice.words.all()) >= times,
        seconds=60,
        what=f"{times} answers",
    )


def _archive_of(hub: int) -> int:
    commands = {one.pid: one.command for one in living()}
    (found,) = [pid for pid in descendants(hub) if "streaming_hub.archive.worker" in commands.get(pid, "")]
    return found


def _errors(agent: Program) -> list[str]:
    """Return what LiveKit's SDK logs of uploads that fail; its own trouble on a busy machine is no matter here."""
    about = ("opentelemetry", "upload", "export", "session_end")
    errors = [line for line in agent.lines if '"ERROR"' in line]
    return [line for line in errors if any(word in line.lower() for word in about)]
