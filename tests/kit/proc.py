"""The living processes of this machine, how they belong together and what they use, from Linux's /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

TICK: Final = os.sysconf("SC_CLK_TCK")
"""Of the kernel's clocks, a second."""


class Entry(NamedTuple):
    """One process."""

    pid: int
    parent: int
    group: int
    command: str


def living() -> list[Entry]:
    """Return the processes that run now, without zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if state != "Z":
            found.append(Entry(int(folder.name), int(parent), int(group), command))
    return found


def members(group: int) -> list[int]:
    """Return the processes of a group."""
    return [one.pid for one in living() if one.group == group]


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    return [one.pid for one in living() if one.parent == pid]


def descendants(pid: int) -> list[int]:
    """Return all processes below one, the nearest first."""
    everything, found = living(), [pid]
    for known in found:
        found += [one.pid for one in everything if one.parent == known]
    return found[1:]


def child(pid: int, words: str) -> int:
    """Return the child of a process whose command line has these words.

    Raises:
        AssertionError: there is none.
    """
    found = [one.pid for one in living() if one.parent == pid and words in one.command]
    assert found, f"process {pid} has no child {words!r}"
    return found[0]


def cpu(pid: int) -> float:
    """Return how much CPU time a process has used, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid: int) -> int:
    """Return a process's resident memory, KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])
