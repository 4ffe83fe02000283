"""The load generator notices every way in which a stream can be wrong."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
import toolchain

from tests.bench.faulty_server import BROKEN_POST, FaultyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLIENTS = 3
EVENTS = 20


@pytest.fixture(scope="module")
def load() -> Path:
    try:
        return toolchain.build("load")
    except toolchain.NoCompilerError as error:
        pytest.skip(str(error))


@contextlib.contextmanager
def running(server: FaultyServer) -> Iterator[int]:
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextlib.contextmanager
def serving(fault: Callable[[bytes], list[bytes]], *, chunked: bool = False, piece: int = 0) -> Iterator[int]:
    with running(FaultyServer(fault, chunked=chunked, piece=piece)) as port:
        yield port


def put_load(load: Path, port: int, *options: str) -> tuple[int, dict[str, Any]]:
    command = [str(load), "--port", str(port), "--clients", str(CLIENTS), "--events", str(EVENTS)]
    timing = ["--settle", "0.01", "--stall", "0.5"]
    done = subprocess.run(
        [*command, *timing, *options], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout)


def intact(frame: bytes) -> list[bytes]:
    return [frame]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize("loops", ["1", "2"])
def test_a_faultless_stream_passes(load: Path, chunked: bool, piece: int, loops: str) -> None:
    with serving(intact, chunked=chunked, piece=piece) as port:
        code, figures = put_load(load, port, "--loops", loops, "--warmup", "2")
    assert code == 0
    assert figures["delivered"] == figures["expected"] == CLIENTS * (EVENTS + 2)
    assert figures["other"] == CLIENTS
    assert figures["latency_ms"]["count"] == CLIENTS * EVENTS


FAULTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "missing": lambda _frame: [],
    "duplicated": lambda frame: [frame, frame],
    "corrupt": lambda frame: [frame[:60] + frame[:-2] + frame[60:]],
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_broken_event_is_noticed(load: Path, kind: str, chunked: bool) -> None:
    with serving(FAULTS[kind], chunked=chunked) as port:
        code, figures = put_load(load, port)
    assert code == 1
    assert figures[kind] >= CLIENTS


def test_a_wrong_letter_is_noticed(load: Path) -> None:
    """A complete frame with the text of another event."""
    with serving(lambda frame: [frame.replace(b"hhhh", b"gggg", 1)]) as port:
        code, figures = put_load(load, port)
    assert code == 1
    assert figures["corrupt"] == CLIENTS


def test_two_events_in_one_frame_are_noticed(load: Path) -> None:
    with serving(lambda frame: [frame[:-1] + frame]) as port:
        code, figures = put_load(load, port)
    assert code == 1
    assert figures["corrupt"] == CLIENTS


def test_a_foreign_line_is_noticed(load: Path) -> None:
    with serving(lambda frame: [b"5f\n" + frame]) as port:
        code, figures = put_load(load, port)
    assert code == 1
    assert figures["corrupt"] == CLIENTS
    assert figures["missing"] == 0


class Exchanging(FaultyServer):
    """Holds one event back and sends it after the next one."""

    held = b""

    def publish(self, body: bytes) -> None:
        if self.posts == BROKEN_POST and not self.held:
            self.held = body
            return
        super().publish(body)
        if self.posts == BROKEN_POST + 1 and self.held:
            super().publish(self.held)


class Ending(FaultyServer):
    """Ends every stream with the last chunk, but leaves the connection open."""

    def publish(self, body: bytes) -> None:
        super().publish(body)
        if self.posts == BROKEN_POST:
            for stream in self.streams:
                stream.wfile.write(b"0\r\n\r\n")
            self.streams.clear()


def test_an_exchanged_pair_is_noticed(load: Path) -> None:
    with running(Exchanging(intact)) as port:
        code, figures = put_load(load, port)
    assert code == 1
    assert figures["reordered"] == CLIENTS
    assert figures["missing"] == figures["duplicated"] == 0


def test_a_stream_that_ends_is_noticed(load: Path) -> None:
    with running(Ending(intact, chunked=True)) as port:
        code, figures = put_load(load, port)
    assert code == 1
    assert figures["closed"] == CLIENTS
    assert figures["missing"] == CLIENTS * (EVENTS - BROKEN_POST)


def test_batches_are_counted_by_event(load: Path) -> None:
    """The tiny server sends the array as it is: not one event each, and the load generator says so."""
    with serving(intact) as port:
        code, figures = put_load(load, port, "--batch", "4")
    assert code == 1
    assert figures["published"] == EVENTS
    assert figures["answer_ms"]["count"] == EVENTS / 4


def test_no_server_is_reported_at_once(load: Path) -> None:
    with serving(intact) as port:
        pass
    done = subprocess.run(
        [str(load), "--port", str(port), "--clients", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert str(port) in done.stderr


def test_bad_options_show_the_usage(load: Path) -> None:
    done = subprocess.run(
        [str(load), "--clients", "1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "usage: load" in done.stderr
