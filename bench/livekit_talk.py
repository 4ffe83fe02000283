"""A talk in a real room with an agent that measures itself, and everything that was noted while it went on.

Needs livekit-server on PATH and espeak-ng; uses the people, servers and model stub of tests/livekit and tests/stubs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import requests
from livekit_watch import LivePage, read_notes

from tests.kit.process import Program
from tests.kit.wait import until
from tests.livekit.participant import Participant
from tests.livekit.processes import HubServer, LiveKitServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.livekit.participant import Words

LOWEST = 19
HERE = Path(__file__).resolve().parent
PHRASES = (
    "Roses are red in summer.",
    "What is the current time in London?",
    "Describe a sunset over the desert.",
    "My neighbour grows tall cucumbers.",
    "Whales swim in deep oceans.",
)
LONG = (
    "Once there was a boat that sailed over the wide sea, past seven islands and through three storms, until it came "
    "to a harbour where nobody had ever seen a boat before."
)
RULES = [
    {"match": "current time", "tool": "current_time", "text": "In London it is {output}."},
    {"match": "sunset", "text": LONG},
]


@dataclass(frozen=True)
class Servers:
    """What every talk needs.

    Attributes:
        folder: Where logs and reports go.
        livekit: The rooms.
        models: The model stub.
        hub: The hub, its own agent stopped.
    """

    folder: Path
    livekit: LiveKitServer
    models: Program
    hub: HubServer


@dataclass(frozen=True)
class Talk:
    """What was noted.

    Attributes:
        before: What the agent said of itself before the first question (see livekit_agent.py).
        after: The same after the last answer.
        ends: When the person's last sound of each question had been played.
        notes: (time, event) of the reader of the stream, of this talk only.
        page: Event id -> (read by the page's script, painted); empty without a page.
        user_words: The room's own transcription of the person.
        agent_words: The room's own transcription of the agent.
        called: Of an agent that is `noted`, when LiveKit called back, what for, and the value.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    ends: list[float]
    notes: list[tuple[float, dict[str, Any]]]
    page: dict[str, tuple[float, float]]
    user_words: list[Words]
    agent_words: list[Words]
    called: Sequence[tuple[float, str, str]] = ()

    @property
    def cpu(self) -> float:
        """What the agent's process took meanwhile, in percent of a core."""
        return float(100 * (self.after["process_cpu"] - self.before["process_cpu"]) / self.seconds)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float(self.after["at"] - self.before["at"])


@contextlib.contextmanager
def servers(folder: Path, *, watch: bool = False) -> Iterator[Servers]:
    """Run livekit-server, the model stub and the hub.

    Args:
        folder: Where logs and data go.
        watch: Whether the hub watches all rooms, which livekit-server's webhooks tell it of.
    """
    stub = Program([sys.executable, "-m", "tests.stubs.openai_stub"])
    try:
        base = stub.wait_for_line(r"OPENAI_BASE_URL=(\S+)")[1]
        taught = {"learn": PHRASES, "rules": RULES}
        requests.post(base.removesuffix("/v1") + "/control", json=taught, timeout=60).raise_for_status()
        port = free_port()
        webhook = f"http://127.0.0.1:{port}/api/livekit/webhook" if watch else None
        with LiveKitServer(folder, webhook) as livekit:
            models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": base}
            settings = {**livekit.environment, **models, "STREAM_WATCH": "all" if watch else "off"}
            with HubServer(folder, settings, port) as hub:
                os.environ.update(models)
                yield Servers(folder, livekit, stub, hub)
    finally:
        stub.kill()


@contextlib.contextmanager
def others_yield(where: Servers) -> Iterator[None]:
    """Give what stands for other machines (rooms, models, and the person, who is this process) what CPU is left over.

    Linux shares the CPU among sessions of processes (sched(7), "The autogroup feature"), and `nice` orders only those
    within one. Where there are no such groups nothing changes.
    """
    pids = (where.livekit.pid, where.models.pid, os.getpid())
    before = {group: _niceness(group) for pid in pids if (group := Path(f"/proc/{pid}/autogroup")).exists()}
    try:
        _set_niceness(dict.fromkeys(before, LOWEST))
        yield
    finally:
        _set_niceness(before)


def _niceness(group: Path) -> int:
    return int(group.read_text().split()[-1])


def _set_niceness(wanted: dict[Path, int]) -> None:
    for group, niceness in wanted.items():
        # A process that has ended needs none.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            group.write_text(str(niceness))
        # Without privileges, one change per tenth of a second is allowed.
        time.sleep(0.15)


def talk(where: Servers, kind: str, turns: int, *, page: bool = False) -> Talk:
    """Start an agent of a kind (see livekit_agent.py), and ask it.

    Args:
        where: The servers.
        kind: `plain`, `attached` or `traced`.
        turns: Questions to ask.
        page: Whether the live page is open meanwhile.
    """
    room = f"{kind}-{os.urandom(4).hex()}"
    report, heard = where.folder / f"{room}.json", where.folder / f"{room}.tsv"
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(_agent(where, kind, report))
        stack.enter_context(_reader(where.hub.port, heard))
        live = stack.enter_context(LivePage(where.hub.url)) if page else None
        token = where.livekit.token(room, "alice")
        person = stack.enter_context(Participant(where.livekit.url, token, "alice"))
        name = person.wait_for_agent(40)
        _answered(person)
        before = _look(agent, report)
        ends = _ask(person, turns)
        after = _look(agent, report)
        arrivals = live.arrivals() if live is not None else {}
        notes = [(at, event) for at, event in read_notes(heard) if event.get("room") == room]
        words = [one for one in person.words.all() if one.times and one.times[0] > before["at"]]
        return Talk(
            before,
            after,
            ends,
            [(at, event) for at, event in notes if before["at"] < event.get("called_at", 0.0) < after["at"]],
            arrivals,
            [one for one in words if one.identity == "alice" and one.final],
            [one for one in words if one.identity == name],
        )


def noted_talk(where: Servers, turns: int, settings: Mapping[str, str]) -> Talk:
    """Ask an agent that knows nothing of the hub, and notes its session's callbacks.

    Args:
        where: The servers.
        turns: Questions to ask.
        settings: The agent's, besides the usual ones.
    """
    room = f"noted-{os.urandom(4).hex()}"
    report, heard = where.folder / f"{room}.json", where.folder / f"{room}.tsv"
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(_agent(where, "noted", report, settings))
        stack.enter_context(_reader(where.hub.port, heard))
        token = where.livekit.token(room, "alice")
        person = stack.enter_context(Participant(where.livekit.url, token, "alice"))
        name = person.wait_for_agent(40)
        _answered(person)
        before = _look(agent, report)
        ends = _ask(person, turns)
        after = _look(agent, report)
        # Uploads come up to five seconds after the end of what they tell.
        time.sleep(UPLOADED_SECONDS)
        notes = [(at, event) for at, event in read_notes(heard) if event.get("room") == room]
        called = [tuple(one) for one in after["notes"] if before["at"] < one[0]]
        mine = [one for one in person.words.all() if one.identity == name and one.times]
        return Talk(
            before,
            after,
            ends,
            [
                (at, event)
                for at, event in notes
                if before["at"] < at and event.get("timestamp", at) > before["at"]
            ],
            {},
            [],
            [one for one in mine if one.times[0] > before["at"]],
            called,
        )


UPLOADED_SECONDS = 8.0


@contextlib.contextmanager
def _agent(
    where: Servers, kind: str, report: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Program]:
    hub = {"STREAM_URL": where.hub.url, "AGENT_SPOOL_DIR": str(where.folder / "spool")}
    command = [sys.executable, str(HERE / "livekit_agent.py"), kind, str(report)]
    agent = Program(command, **where.livekit.environment, **hub, **(settings or {}))
    try:
        agent.wait_for("registered", 60)
        yield agent
    finally:
        agent.kill_group()


@contextlib.contextmanager
def _reader(port: int, heard: Path) -> Iterator[None]:
    with (
        heard.open("wb") as file,
        # Not in this process's session: see `others_yield`.
        subprocess.Popen(
            [sys.executable, str(HERE / "livekit_watch.py"), str(port)], stdout=file, start_new_session=True
        ) as reader,
    ):
        try:
            until(lambda: heard.stat().st_size > 0, seconds=10, what="the reader is connected")
            yield
        finally:
            reader.kill()


def _look(agent: Program, report: Path) -> dict[str, Any]:
    def lines() -> list[str]:
        return report.read_text().splitlines() if report.exists() else []

    known = len(lines())
    agent.signal(signal.SIGUSR1)
    until(lambda: len(lines()) > known, seconds=120, what=f"a report of the agent, {agent.log}")
    line: dict[str, Any] = json.loads(lines()[-1])
    return line


def _answered(person: Participant, after: tuple[float, str] | None = None) -> tuple[float, str]:
    """Wait until the agent has spoken and is silent again; return the room's last state."""
    states = person.agent_states
    began = states.wait(lambda one: one[1] == "speaking", seconds=30, text="the agent's voice", after=after)
    return states.wait(lambda one: one[1] == "listening", seconds=60, text="its end", after=began)


def _ask(person: Participant, turns: int) -> list[float]:
    ends = []
    state = person.agent_states.all()[-1]
    for phrase in itertools.islice(itertools.cycle(PHRASES), turns):
        ends.append(person.say(phrase))
        state = _answered(person, state)
    return ends
