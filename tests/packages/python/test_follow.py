"""`follow` and `publish` against a real hub, also through a proxy that cuts connections off.

Covers streaming_hub_client.publish.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from streaming_hub_client import Gap, Refused, follow, publish

from tests.browser.hub_process import HubProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class CuttingProxy:
    """Passes bytes on, and can cut all its connections off by a reset."""

    def __init__(self, port: int) -> None:
        self._hub = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                hub = socket.create_connection(("127.0.0.1", self._hub))
                self.connections += 1
                self._open += [client, hub]
                for source, target in ((client, hub), (hub, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # cut
            while data := source.recv(700):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    folder: Path = tmp_path_factory.mktemp("hub")
    settings = {"STREAM_HISTORY": f"sqlite:///{folder / 'events.db'}", "STREAM_HEARTBEAT": "0.5"}
    running = HubProcess(0, settings, folder / "hub.log")
    running.wait_until_healthy()
    yield running
    running.kill()


@pytest.mark.parametrize("cuts", [8, pytest.param(100, marks=pytest.mark.faults)])
def test_every_event_comes_once_through_many_cuts(
    hub: HubProcess, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.05)
    proxy = CuttingProxy(hub.port)
    start = publish(hub.url, {"type": "start", "room": "cuts"})["id"]
    over = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        while not over.is_set():
            publish(hub.url, [{"type": "numbered", "room": "cuts", "n": sent + i} for i in range(5)])
            sent += 5
        publish(hub.url, {"type": "end", "room": "cuts"})

    def cut() -> None:
        for _ in range(cuts):
            seen = proxy.connections
            deadline = time.monotonic() + 20
            while proxy.connections == seen and time.monotonic() < deadline and seen == 0:
                time.sleep(0.01)
            time.sleep(random.uniform(0.02, 0.3))
            proxy.cut()
        over.set()

    threads = [threading.Thread(target=one, daemon=True) for one in (send, cut)]
    for thread in threads:
        thread.start()
    got: list[int] = []
    with follow(proxy.url, room="cuts", since=start) as stream:
        for item in stream:
            assert not isinstance(item, Gap)
            if item["type"] == "end":
                break
            got.append(item["n"])
            assert stream.position == item["id"]
    for thread in threads:
        thread.join(30)
    assert got == list(range(sent))
    assert sent > 0
    assert proxy.connections > cuts // 2
    proxy.close()


def test_filters_positions_and_replay(hub: HubProcess) -> None:
    publish(hub.url, [{"type": kind, "room": "f", "n": n} for n, kind in enumerate(["a", "b", "c", "a"])])
    with follow(hub.url, room="f", types=["a", "b"], replay=100) as stream:
        first = next(stream)
        assert isinstance(first, dict)
        assert [first["n"], *(event_n(next(stream)) for _ in range(2))] == [0, 1, 3]
    with follow(hub.url, room="f", since=first["id"]) as stream:
        assert event_n(next(stream)) == 1


def event_n(item: dict[str, Any] | Gap) -> int:
    assert isinstance(item, dict)
    return int(item["n"])


def test_a_position_of_another_history_is_a_gap(hub: HubProcess) -> None:
    with follow(hub.url, since="elsewhere-7") as stream:
        gap = next(stream)
        assert isinstance(gap, Gap)
        assert gap.missed is None
        assert stream.position


def test_a_refusal_ends_it(hub: HubProcess) -> None:
    stream = follow(f"{hub.url}/api/nothing")
    with pytest.raises(Refused) as refused:
        next(stream)
    assert refused.value.status == 404


def test_silence_reconnects() -> None:
    """A server that sends one heartbeat's length and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = []

        def serve() -> None:
            for n in range(2):
                client, _ = server.accept()
                asked.append(client)
                client.recv(4096)
                event = b'data: {"type":"connected","cursor":"e-0","heartbeat":0.2}\n\n'
                event += b'id: e-1\ndata: {"type":"note"}\n\n' if n else b""
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event)

        threading.Thread(target=serve, daemon=True).start()
        with follow(f"http://127.0.0.1:{server.getsockname()[1]}") as stream:
            assert next(stream) == {"type": "note"}
        assert len(asked) == 2


def test_close_ends_an_iteration_in_another_thread(hub: HubProcess) -> None:
    stream = follow(hub.url, types="never")
    done = threading.Event()
    threading.Thread(target=lambda: (list(stream), done.set()), daemon=True).start()
    deadline = time.monotonic() + 20
    while stream.position is None and time.monotonic() < deadline:
        time.sleep(0.02)
    stream.close()
    assert done.wait(20)


def test_publish_names_events_and_tells_refusals(hub: HubProcess) -> None:
    event = {"type": "named", "room": "p"}
    assert publish(hub.url, event)["status"] == "ok"
    assert event == {"type": "named", "room": "p"}
    with pytest.raises(Refused) as refused:
        publish(hub.url, {"type": 7})
    assert refused.value.status in (400, 422)
