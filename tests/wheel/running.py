"""A hub that runs from some command, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import requests

from tests.kit.process import Program
from tests.kit.sse import of_lines
from tests.kit.wait import until
from tests.wheel.conftest import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PATIENCE = 60.0


class RunningHub(Program):
    """Started by a command, on a free port; ended with all its processes.

    Args:
        command: without `--port`.
        folder: the working directory.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        words = [*map(str, command), "--port", "0"]
        self._prepare()
        self._launch(words, folder, environment(PYTHONUNBUFFERED="1"))

    def __enter__(self) -> Self:
        # `uv run` may have to install everything first.
        until(lambda: "Live page" in self.log or self.process.poll() is not None, PATIENCE, lambda: self.log)
        self.url = self.wait_for_line(r"Live page +(http://\S+)/")[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(seconds=20)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE)

    def post(self, path: str, body: Any = None) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=PATIENCE)

    def until(self, path: str, condition: Callable[[Any], object]) -> Any:
        """Ask until the JSON of an answer is as wanted; return it."""
        found: list[Any] = []

        def ask() -> object:
            found[:] = [self.get(path).json()]
            return condition(found[0])

        until(ask, PATIENCE, lambda: f"{found}\n{self.log}")
        return found[0]

    def events(self, query: str = "") -> Iterator[dict[str, Any]]:
        """Yield the events of a stream, heartbeats left out."""
        with requests.get(f"{self.url}/api/stream{query}", stream=True, timeout=PATIENCE) as answer:
            for event in of_lines(answer.iter_lines()):
                if event["type"] != "heartbeat":
                    yield event
