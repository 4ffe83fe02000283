"""What the watcher sees of a call, recorded as it comes and given again later."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from livekit import api

from agent.watching import room
from agent.watching.watched import HOLD_SECONDS, Watched
from tests.uploads.replay import FOLDER, KEY, SECRET

if TYPE_CHECKING:
    from pathlib import Path

Event = dict[str, Any]
FILE = "session.jsonl.gz"
CALLS = ("linked", "message", "words", "words_ended", "heard", "state", "close")


class Recorder:
    """A watcher in one room that writes down what it sees of each agent."""

    def __init__(self, url: str, name: str) -> None:
        self.lines: list[Event] = []
        self._url, self._name = url, name
        self._thread = threading.Thread(target=lambda: asyncio.run(self._stay()), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until it has left the room."""
        self._thread.join(60)

    async def _stay(self) -> None:
        outer = self

        class Noting(Watched):
            def __init__(self, session_id: str, name: str, agent: str, about: Any, **rest: Any) -> None:
                super().__init__(session_id, name, agent, about, **rest)
                outer.lines.append({"agent": agent, "about": about, "state": rest["state"]})

            def __getattribute__(self, name: str) -> Any:
                value = super().__getattribute__(name)
                return outer._noting(name, value) if name in CALLS else value

        room.Watched = Noting  # type: ignore[misc]
        grants = api.VideoGrants(
            room_join=True,
            room=self._name,
            hidden=True,
            can_publish=False,
            can_subscribe=False,
            can_publish_data=False,
        )
        token = api.AccessToken(KEY, SECRET).with_identity("hub-watcher-recorder").with_kind("agent")
        watch = room.RoomWatcher(self._name, lambda _event: None, lambda _job: False, Counter())
        await watch.stay(self._url, token.with_grants(grants).to_jwt())

    def _noting(self, name: str, method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            plain = [base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in arguments]
            self.lines.append({"call": name, "arguments": plain, **named})
            return method(*arguments, **named)

        return call

    def write(self, folder: Path) -> None:
        """Write what was noted."""
        with gzip.open(folder / FILE, "wt") as out:
            for line in self.lines:
                out.write(json.dumps(line) + "\n")


def seen(version: str) -> list[Event]:
    """Return what was recorded of a call."""
    with gzip.open(FOLDER / version / FILE, "rt") as lines:
        return [json.loads(line) for line in lines]


def events_of(version: str, unknown: Counter[str] | None = None) -> list[Event]:
    """Return the events that the watcher makes of a recorded call."""
    first, *calls = seen(version)
    watched = Watched(
        "watched",
        "support-7",
        first["agent"],
        first["about"],
        unknown=Counter() if unknown is None else unknown,
        state=first["state"],
    )
    events: list[Event] = []
    held = True
    for line in calls:
        if "call" not in line:
            continue
        name, arguments = line.pop("call"), line.pop("arguments")
        if name == "message":
            arguments[0] = base64.b64decode(arguments[0])
        at = next((one for one in reversed(arguments) if isinstance(one, float)), None)
        if held and watched.begun is not None and at is not None and at > watched.begun + HOLD_SECONDS:
            events += watched.release()
            held = False
        events += getattr(watched, name)(*arguments, **line) or []
    return events
