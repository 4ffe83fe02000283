"""A stand-in for agent/worker.py that keeps the control socket's contract and misbehaves on demand.

Its arguments are steps, taken in order: `ready`, `running:2`, `draining`, `failed:REASON`, `told:RAW LINE`,
`log:TEXT`, `env:NAME` (prints the value), `fds` (prints the open descriptors), `flood:LINES`, `endless`,
`grandchild`, `escape` (leaves a process that holds the log pipe), `exit:CODE`, `kill`, `deaf` (ignores
SIGTERM), `drain` (waits for SIGTERM, then says what a worker says, and exits 0), `wait`, `chatter` (says
`ready` over and over), `pause:SECONDS`, `hear` (anywhere: prints the hub's lines), `crash-after:FILE`
(exits at once from the second life on). Like the worker, it kills its group when the control socket ends.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

CONTROL = socket.socket(fileno=int(os.environ["AGENT_CONTROL_FD"]))
SLEEPER = "import time; time.sleep(300)"


def watch_the_hub():
    # A hub that dies with words of ours unread ends the connection by a reset.
    with contextlib.suppress(ConnectionError):
        for line in CONTROL.makefile():
            if "hear" in sys.argv:
                print("heard", line, end="", flush=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def tell(**message):
    CONTROL.sendall(json.dumps(message).encode() + b"\n")


def drain(_argument):
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    tell(state="ready")
    while not asked.wait(0.01):
        continue
    tell(state="draining")
    print("drained", flush=True)
    sys.exit(0)


def flood(lines):
    for number in range(int(lines)):
        print("flood", number, "x" * 60)


def endless(_argument):
    while True:
        os.write(1, b"x" * 65536)


def grandchild(_argument):
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPER])
    print("grandchild", child.pid, flush=True)


def escape(_argument):
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPER], start_new_session=True)
    print("escaped", child.pid, flush=True)


def crash_after(marker):
    if Path(marker).exists():
        sys.exit(3)
    Path(marker).touch()


def chatter(_argument):
    message = b'{"state":"ready"}\n'
    with contextlib.suppress(OSError):
        while True:
            os.write(CONTROL.fileno(), message)
            time.sleep(0.001)
    rest(None)


def list_descriptors(_argument):
    listed = list(Path("/dev/fd").iterdir())
    print("leads its session:", os.getsid(0) == os.getpid(), flush=True)
    print("fds", sorted(int(entry.name) for entry in listed if entry.exists()), flush=True)


def rest(_argument):
    # Longer than any test, but limited: a test that fails must not leave it running.
    time.sleep(300)


STEPS = {
    "ready": lambda _: tell(state="ready"),
    "running": lambda sessions: tell(state="running", sessions=int(sessions)),
    "draining": lambda _: tell(state="draining"),
    "failed": lambda reason: tell(state="failed", reason=reason),
    "told": lambda raw: CONTROL.sendall(raw.encode() + b"\n"),
    "log": lambda text: print(text, flush=True),
    "env": lambda name: print(f"{name}={os.environ.get(name)}", flush=True),
    "flood": flood,
    "endless": endless,
    "grandchild": grandchild,
    "escape": escape,
    "crash-after": crash_after,
    "fds": list_descriptors,
    "chatter": chatter,
    "exit": lambda code: sys.exit(int(code)),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "deaf": lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "drain": drain,
    "hear": lambda _: None,
    "pause": lambda seconds: time.sleep(float(seconds)),
    "wait": rest,
}

threading.Thread(target=watch_the_hub, daemon=True).start()
for step in sys.argv[1:]:
    name, _, argument = step.partition(":")
    STEPS[name](argument)
