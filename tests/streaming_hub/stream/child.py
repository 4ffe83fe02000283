"""Runs functions, each in a process of its own that is monkey-patched as the server is.

python -m tests.streaming_hub.stream.child MODULE

Imports the module once, and forks for each line of its input: a function's name and a file for its output, as JSON.
Prints the status that the process ended with.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import contextlib
import importlib
import inspect
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROOT = Path(__file__).parents[3]
SECONDS = 60


def scenarios(module: ModuleType, *helpers: str) -> list[str]:
    """Return the names of a module's own functions, except its helpers."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return [name for name, one in functions if one.__module__ == module.__name__ and name not in helpers]


class Patched:
    """A patched process that runs a module's functions. A context manager.

    Args:
        module: has the functions.
        folder: where their output goes.
    """

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, module.__name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._process.communicate()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # all of it has ended
            os.killpg(self._process.pid, signal.SIGKILL)

    def run(self, function: str) -> None:
        """Run a function; if it fails, fail with its output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        output = self._folder / function
        self._process.stdin.write(f"{json.dumps([function, str(output)])}\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], SECONDS)[0]:
            self._kill()
        status = self._process.stdout.readline()
        assert status == "0\n", (
            f"status {status!r}: {output.read_text() if output.exists() else 'nothing ran'}"
        )


def serve(module: ModuleType) -> None:
    """Fork for each line of the input."""
    for line in sys.stdin:
        function, output = json.loads(line)
        child = os.fork()
        if child == 0:
            run(getattr(module, function), Path(output))
        print(os.waitpid(child, 0)[1], flush=True)


def run(function: Callable[[], object], output: Path) -> NoReturn:
    """Run a function in this process, and end it."""
    status = 1
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        function()
        status = 0
    except BaseException:  # noqa: BLE001 - shown by the test
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(importlib.import_module(sys.argv[1]))
