"""Answers without end: neither the poster nor `publish` reads them without end, or into memory without a limit."""

from __future__ import annotations

import gzip
import json
import resource
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from streaming_hub_client import publish
from streaming_hub_client.answers import MOST_BYTES, read_answer
from streaming_hub_client.poster import Poster
from streaming_hub_client.retry import Pace

from tests.kit.fake_hub import FakeHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUICK = Pace(first_delay=0.01, longest_delay=0.05, answer_timeout=1.0)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def another_stream(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        connection.sendall(b": still here\n\n")
        time.sleep(0.1)


def bomb(connection: socket.socket) -> None:
    packed = gzip.compress(bytes(256 * 1024 * 1024), 1)
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


def broken(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")


def cut(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 300\r\n\r\nabc")


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address of a server that answers every connection in this way."""

    def one(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            answer(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def memory() -> float:
    """Return the most memory that this process has used, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1024**2


@pytest.mark.parametrize("answer", [endless, another_stream, bomb, broken, cut])
def test_it_is_given_up(answer: Any) -> None:
    with answering(answer) as url, closing(HTTPAdapter()) as adapter:
        request = requests.Request("POST", url, data=b"x").prepare()
        found = adapter.send(request, timeout=(20, 20))
        before = memory()
        with pytest.raises(requests.RequestException):
            read_answer(found, 0.5)
        assert memory() - before < 64


def test_the_poster_continues_once_the_hub_is_there() -> None:
    with FakeHub() as hub, answering(another_stream) as url:
        poster = Poster(url, pace=QUICK)
        poster.post({"type": "test", "n": 1})
        time.sleep(0.2)
        request = poster._prepared(b"[]")
        request.url = f"{hub.url}/api/agent/data"
        assert poster.close(30.0)
        assert hub.numbers() == [1]


def test_publish_gives_up_an_endless_answer() -> None:
    with answering(another_stream) as url, pytest.raises(requests.RequestException):
        publish(url, {"type": "test"}, timeout=1.0)


def test_a_connection_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[object] = []
    connect = urllib3.connection.HTTPConnection.connect

    def counted(self: urllib3.connection.HTTPConnection) -> None:
        connections.append(self)
        connect(self)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "connect", counted)
    with FakeHub() as hub:
        poster = Poster(hub.url, pace=QUICK)
        for number in range(5):
            poster.post({"type": "test", "n": number})
            assert poster.flush(20.0)
        poster.close(1.0)
    assert len(connections) == 1


def test_an_answer_of_the_largest_batch_is_read() -> None:
    assert len(json.dumps({"status": "ok", "ids": ["0" * 40] * 1000})) < MOST_BYTES
