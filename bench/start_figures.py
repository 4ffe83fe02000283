"""How soon a hub that was installed from its wheel answers: `uv run bench/start_figures.py [--pairs N]`.

Builds both wheels, installs them into an empty environment, and starts in turn `streaming-hub` and a bare Flask app
under gevent from the same environment: from the start of the process to the first answer of HTTP. Prints one line of
JSON, and exits with 1 if the median ratio is over its limit. Run it on a quiet machine. Needs uv, and a package
registry or its cache.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.kit.process import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
MOST_RATIO: Final = 1.5
FIRST_ANSWER_SECONDS: Final = 60.0
BARE: Final = """
from gevent import monkey

monkey.patch_all()

import sys

from flask import Flask
from gevent.pywsgi import WSGIServer

app = Flask(__name__)


@app.get("/api/health")
def health():
    return {"status": "ok"}


WSGIServer(("127.0.0.1", int(sys.argv[-1])), app, log=None).serve_forever()
"""


def installed(folder: Path) -> Path:
    """Install the hub from its wheel into an environment of its own; return where its commands are."""
    commands = (
        ("uv", "build", "-q", "--wheel", "-o", folder / "dist", ROOT),
        ("uv", "build", "-q", "--wheel", "-o", folder / "dist", ROOT / "packages" / "python"),
        ("uv", "venv", "-q", "-p", sys.executable, folder / "venv"),
    )
    for command in commands:
        subprocess.run(command, check=True)
    wheels = sorted((folder / "dist").glob("*.whl"))
    subprocess.run(("uv", "pip", "install", "-q", "-p", folder / "venv", *wheels), check=True)
    return folder / "venv" / "bin"


def first_answer(command: Sequence[str | Path], folder: Path) -> float:
    """Start a server with a port as its last argument; return the seconds until it has answered a request."""
    port = free_port()
    began = time.perf_counter()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with subprocess.Popen(
        (*command, str(port)), cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            while not answers(port):
                if server.poll() is not None or time.perf_counter() - began > FIRST_ANSWER_SECONDS:
                    raise SystemExit(f"{command[0]} does not answer on port {port}")
                time.sleep(0.002)
            return time.perf_counter() - began
        finally:
            server.terminate()


def answers(port: int) -> bool:
    """Return whether the server has answered a request for its health."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return sock.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = installed(folder)
        (folder / "bare.py").write_text(BARE)
        servers: dict[str, tuple[str | Path, ...]] = {
            "hub": (commands / "streaming-hub", "--port"),
            "bare": (commands / "python", "bare.py"),
        }
        took: dict[str, list[float]] = {"hub": [], "bare": []}
        # The first start compiles the modules.
        for number in range(pairs + 1):
            for server in ("hub", "bare") if number % 2 else ("bare", "hub"):
                seconds = first_answer(servers[server], folder)
                if number:
                    took[server].append(seconds)
    ratio = statistics.median(hub / bare for hub, bare in zip(took["hub"], took["bare"], strict=True))
    figure = {
        "figure": "start to the first answer, s",
        "hub": round(statistics.median(took["hub"]), 3),
        "bare": round(statistics.median(took["bare"]), 3),
        "median_ratio": round(ratio, 2),
        "most": MOST_RATIO,
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figure), flush=True)
    return 0 if ratio <= MOST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
