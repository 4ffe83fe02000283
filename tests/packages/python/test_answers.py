"""Answers without end: no part of the client waits for them without end, or reads them into memory without a limit."""

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
from streaming_hub_client import follow, publish
from streaming_hub_client.answers import MOST_BYTES, BoundedAdapter, read_answer
from streaming_hub_client.poster import Poster
from streaming_hub_client.retry import Pace

from tests.kit.fake_hub import FakeHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUICK = Pace(first_delay=0.01, longest_delay=0.05, answer_timeout=1.0)
DRIPPED = 8.0
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


def redirect_without_end(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n")
    until = time.monotonic() + DRIPPED
    while time.monotonic() < until:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        time.sleep(0.01)
    connection.sendall(b"0\r\n\r\n")


def dripping(connection: socket.socket) -> None:
    """Send headers byte by byte; end them after `DRIPPED` seconds, so that a client that waits fails its test."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    until = time.monotonic() + DRIPPED
    while time.monotonic() < until:
        connection.sendall(b"x")
        time.sleep(0.05)
    connection.sendall(b"\r\nContent-Length: 2\r\n\r\n{}")


def not_yet(connection: socket.socket) -> None:
    """Ask the client to continue, again and again for `DRIPPED` seconds."""
    until = time.monotonic() + DRIPPED
    while time.monotonic() < until:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.001)
    connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")


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


@pytest.mark.parametrize("answer", [dripping, not_yet])
def test_headers_have_the_time_of_an_answer(answer: Any) -> None:
    with answering(answer) as url, closing(BoundedAdapter()) as adapter:
        request = requests.Request("POST", url, data=b"x").prepare()
        with pytest.raises(requests.RequestException, match=r"timed out|within 0\.5 s"):
            adapter.send(request, timeout=(20, 0.5))


def test_headers_that_arrive_in_parts_and_a_body_that_takes_longer_are_read() -> None:
    def slowly(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        time.sleep(0.2)
        connection.sendall(b"Content-Length: 3\r\n\r\na")
        for part in (b"b", b"c"):
            time.sleep(1.5)
            connection.sendall(part)

    with answering(slowly) as url, closing(BoundedAdapter()) as adapter:
        request = requests.Request("POST", url, data=b"x").prepare()
        assert read_answer(adapter.send(request, timeout=(20, 2.5)), 60) == b"abc"


def test_a_proxys_headers_have_the_time_of_a_connection() -> None:
    with answering(dripping) as proxy, closing(BoundedAdapter()) as adapter:
        request = requests.Request("POST", "https://hub.example/", data=b"x").prepare()
        with pytest.raises(requests.RequestException, match=r"timed out|within 0\.5 s"):
            adapter.send(request, timeout=(0.5, 20), proxies={"https": proxy})


@pytest.mark.parametrize("answer", [dripping, not_yet, redirect_without_end])
def test_a_reader_gives_up_an_answer_that_does_not_end(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_hub_client.connections.HEARTBEAT", 0.2)
    asked = []

    def counted(connection: socket.socket) -> None:
        asked.append(time.monotonic())
        answer(connection)

    with answering(counted) as url:
        stream = follow(url)
        reader = threading.Thread(target=next, args=(stream, None), daemon=True)
        reader.start()
        deadline = time.monotonic() + DRIPPED - 1
        while len(asked) < 2:
            assert time.monotonic() < deadline, "the first connection is still waited for"
            time.sleep(0.02)
        stream.close()
        reader.join(DRIPPED + 20)
        assert not reader.is_alive()


@pytest.mark.parametrize("answer", [another_stream, dripping, not_yet])
def test_the_poster_continues_once_the_hub_is_there(answer: Any) -> None:
    with FakeHub() as hub, answering(answer) as url:
        poster = Poster(url, pace=QUICK)
        poster.post({"type": "test", "n": 1})
        time.sleep(0.2)
        request = poster._prepared(b"[]")
        request.url = f"{hub.url}/api/agent/data"
        assert poster.close(DRIPPED - 1)
        assert hub.numbers() == [1]


@pytest.mark.parametrize("answer", [another_stream, dripping, not_yet, redirect_without_end])
def test_publish_gives_up_in_time(answer: Any) -> None:
    with answering(answer) as url, pytest.raises(requests.RequestException):
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
