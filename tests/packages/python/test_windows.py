"""The client side where Python lacks what Windows does not have, imitated by taking it away in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.kit.fake_hub import DEADLINE, FakeHub
from tests.kit.process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TAKEN_AWAY = """
import os, sys
import psutil  # LiveKit's: on Linux it needs what it does without on Windows
for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[module] = None
for name in ("pread", "pwrite", "O_CLOEXEC", "getuid", "geteuid", "killpg", "getpgrp", "fchmod"):
    delattr(os, name)
"""
POST = """
import os, sys, time
from pathlib import Path
import streaming_hub_client.attachment
from streaming_hub_client.poster import Poster
url, folder, first, kill = sys.argv[1:]
poster = Poster(url, spool_dir=Path(folder))
for number in range(int(first), int(first) + 500):
    poster.post({"type": "test", "n": number})
if kill == "kill":
    end = time.monotonic() + 20
    while b'"n":%d' % (int(first) + 499) not in b"".join(p.read_bytes() for p in Path(folder).glob("*.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.01)
    os._exit(9)
sys.exit(0 if poster.close(20) else 3)
"""


def run_without(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TAKEN_AWAY + script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )


def test_a_killed_process_leaves_its_events_to_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    hub = FakeHub()
    killed = run_without(POST, hub.url, str(folder), "0", "kill")
    assert killed.returncode == 9, killed.stderr
    with hub:
        ended = run_without(POST, hub.url, str(folder), "500", "end")
        assert ended.returncode == 0, ended.stderr
    assert hub.numbers() == list(range(1000))
    assert not list(folder.glob("*.jsonl"))


def test_the_hub_says_which_systems_it_needs() -> None:
    found = run_without("import runpy; runpy.run_path('flask_server.py', run_name='__main__')")
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "The hub needs Linux or macOS; agents on Windows can send their events to a hub that runs there."
    ]
