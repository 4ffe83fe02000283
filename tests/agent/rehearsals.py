"""Two rehearsals as real processes: one as it is, one with silence in place of the recordings."""

from __future__ import annotations

import contextlib
import wave
from typing import TYPE_CHECKING, Any

from agent.rehearsal import script
from tests.agent.receiver import Event, Receiver
from tests.agent.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

CONVERSATION_SECONDS = 90.0
SILENT_SECONDS = 2


class Recorded:
    """A rehearsal that was stopped; `events` are its first session's."""

    def __init__(self, events: list[Event], worker: WorkerProcess, seconds_to_stop: float) -> None:
        self.everything = events
        self.states = [message["state"] for message in worker.messages]
        self.seconds_to_ready = self.first("agent_ready")["timestamp"] - worker.started
        self.seconds_to_stop = seconds_to_stop
        self.exit_code = worker.process.returncode
        first = self.first("session_started")["session_id"]
        self.events = [event for event in events if event.get("session_id") == first]

    def first(self, kind: str) -> Event:
        return next(event for event in self.everything if event["type"] == kind)

    def of_type(self, kind: str, **fields: Any) -> list[Event]:
        return [
            event
            for event in self.events
            if event["type"] == kind and all(event.get(name) == value for name, value in fields.items())
        ]

    def finals(self, role: str) -> list[Event]:
        return self.of_type("transcript", role=role, is_final=True)


class Rehearsals:
    """Starts both, and lets tests wait for each. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._receiver, self._worker = self._start()
        self._silent_receiver, self._silent_worker = self._start(AGENT_REHEARSAL_AUDIO=str(_silence(folder)))
        self._recorded: Recorded | None = None
        self._silent: Recorded | None = None

    def close(self) -> None:
        self._stack.close()

    def recorded(self) -> Recorded:
        """Wait for the first conversation and the beginning of the second, and stop."""
        if self._recorded is None:
            self._receiver.wait_for(
                lambda events: _count(events, "session_started") >= 2, CONVERSATION_SECONDS
            )
            self._worker.wait_for_state("running", times=2)
            seconds = self._worker.stop()
            self._recorded = Recorded(self._receiver.events, self._worker, seconds)
        return self._recorded

    def silent(self) -> Recorded:
        """Wait until LiveKit takes the user for away, 15 s after the last sign of life, and stop."""
        if self._silent is None:
            self._silent_receiver.wait_for(_user_is_away, CONVERSATION_SECONDS)
            seconds = self._silent_worker.stop()
            self._silent = Recorded(self._silent_receiver.events, self._silent_worker, seconds)
        return self._silent

    def _start(self, **settings: str) -> tuple[Receiver, WorkerProcess]:
        receiver = self._stack.enter_context(Receiver())
        worker = WorkerProcess(STREAM_URL=receiver.url, AGENT_MODE="rehearsal", **settings)
        return receiver, self._stack.enter_context(worker)


def _count(events: list[Event], kind: str) -> int:
    return len([event for event in events if event["type"] == kind])


def _user_is_away(events: list[Event]) -> bool:
    return any(event["type"] == "user_state" and event["state"] == "away" for event in events)


def _silence(folder: Path) -> Path:
    for line in script.LINES:
        with wave.open(str(folder / f"{line.name}.wav"), "wb") as recording:
            recording.setnchannels(1)
            recording.setsampwidth(2)
            recording.setframerate(16_000)
            recording.writeframes(b"\0\0" * 16_000 * SILENT_SECONDS)
    return folder
