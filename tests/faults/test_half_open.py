"""Peers that vanish silently, like a phone in a tunnel: a network namespace whose cable is pulled."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.kit.hub import Hub
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

HERE, THERE = "10.213.77.1", "10.213.77.2"
CLIENTS = 20
MINUTE = 65.0
"""A minute, and what a busy machine adds to it."""

# Opens a number of streams to each given port, and reads until it is killed.
VISITOR = """
import select, socket, sys
host, count, *ports = sys.argv[1:]
streams = []
for port in ports:
    for _ in range(int(count)):
        one = socket.create_connection((host, int(port)))
        one.sendall(b"GET /api/stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        streams.append(one)
print("connected", flush=True)
while True:
    for one in select.select(streams, [], [])[0]:
        if not one.recv(65536):
            sys.exit(1)
"""


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"networks cannot be made here: ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A network namespace with one cable to here; skips where that may not be made."""
    name = f"hub{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        ip("addr", "add", f"{HERE}/30", "dev", f"{name}a")
        ip("link", "set", f"{name}a", "up")
        ip("-n", name, "addr", "add", f"{THERE}/30", "dev", f"{name}b")
        ip("-n", name, "link", "set", f"{name}b", "up")
        yield name
    finally:
        subprocess.run(["ip", "link", "del", f"{name}a"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_peers_that_vanish_are_gone_within_a_minute(tmp_path: Path) -> None:
    """By keep-alive if nothing is sent, by unacknowledged heartbeats otherwise."""
    with (
        network() as name,
        Hub(tmp_path / "idle", host=HERE, STREAM_ALLOW_OPEN="1", STREAM_HEARTBEAT="3600") as idle,
        Hub(tmp_path / "beating", host=HERE, STREAM_ALLOW_OPEN="1", STREAM_HEARTBEAT="5") as beating,
    ):
        ports = [str(idle.port), str(beating.port)]
        visitor = subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", VISITOR, HERE, str(CLIENTS), *ports],
            stdout=subprocess.PIPE,
        )
        try:
            assert visitor.stdout is not None
            assert visitor.stdout.readline() == b"connected\n"
            until(lambda: idle.clients() == beating.clients() == CLIENTS)
            ip("-n", name, "link", "set", f"{name}b", "down")
            pulled = time.monotonic()
            until(lambda: idle.clients() == beating.clients() == 0, MINUTE)
            # Not sooner than a tunnel may last: nothing announced that they were gone.
            assert time.monotonic() - pulled > 10
            assert visitor.poll() is None
        finally:
            visitor.kill()
            visitor.wait()
            if visitor.stdout is not None:
                visitor.stdout.close()
