"""Compile the benchmark's C programs: the load generator and the floor.

Writes into bench/build/ only (not under version control). The compiler is the system's `cc`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BUILD = BENCH / "build"
SOURCES: dict[str, list[Path]] = {
    "load": [BENCH / "load.c", *sorted((BENCH / "load").glob("*.c"))],
    "floor": [BENCH / "floor.c"],
}


class NoCompilerError(RuntimeError):
    """No C compiler is on PATH."""


def compiler() -> str:
    """Return the C compiler's path.

    Raises:
        NoCompilerError: If there is none.
    """
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise NoCompilerError("no C compiler (cc, gcc or clang) on PATH: install one, such as Debian's gcc")
    return found


def build(name: str) -> Path:
    """Return the program `name` ("load" or "floor"), recompiled if a source is newer.

    Raises:
        NoCompilerError: If there is no C compiler.
        subprocess.CalledProcessError: If the compiler refuses; its words are on stderr.
    """
    program = BUILD / name
    inputs = [*SOURCES[name], *(BENCH / "load").glob("*.h")]
    if program.exists() and program.stat().st_mtime > max(source.stat().st_mtime for source in inputs):
        return program
    BUILD.mkdir(exist_ok=True)
    arguments = [
        compiler(),
        "-O2",
        "-Wall",
        "-Wextra",
        "-o",
        str(program),
        *map(str, SOURCES[name]),
        "-lpthread",
    ]
    subprocess.run(arguments, check=True)
    return program
