"""Runs a function in a new Python process that monkey-patches first, as the server does.

python -m tests.streaming_hub.stream.child MODULE FUNCTION
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import importlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECONDS = 60


def run(module: str, function: str) -> None:
    """Run it; if it fails, fail with its output."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.streaming_hub.stream.child", module, function],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n"), done.stdout


if __name__ == "__main__":
    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])()
    print("done")
