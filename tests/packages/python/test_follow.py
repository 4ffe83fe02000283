"""`follow` and `afollow`, by the same tests, and `publish`: against a real hub, and servers that misbehave.

Covers streaming_hub_client.connections and streaming_hub_client.publish.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gc
import random
import socket
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests
from streaming_hub_client import Gap, Refused, afollow, clock, connections, follow, publish

from tests.kit.fake_hub import FakeHub, Reply
from tests.kit.hub import Hub
from tests.kit.scripted import CONNECTED, STREAM, ScriptedServer, answer, frame
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

NOTE = frame({"type": "note"}, "e-1")


class InALoop:
    """`afollow`, read from a thread: its event loop runs in another one."""

    def __init__(self, url: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._stream = afollow(url, **options)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any] | Gap:
        try:
            return self._wait(anext(self._stream))
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        self._wait(self._stream.aclose())

    def _wait(self, awaited: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaited

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(60)


@pytest.fixture(params=[follow, InALoop], ids=["follow", "afollow"])
def read(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """What opens a stream that iterates and closes as that of `follow`."""
    return request.param


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
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    settings = {"STREAM_HISTORY": f"sqlite:///{folder / 'events.db'}", "STREAM_HEARTBEAT": "0.5"}
    with Hub(folder, **settings) as running:
        yield running


@pytest.mark.parametrize("cuts", [8, pytest.param(100, marks=pytest.mark.faults)])
def test_every_event_comes_once_through_many_cuts(
    hub: Hub, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, cuts: int
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
    with read(proxy.url, room="cuts", since=start) as stream:
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


def test_filters_positions_and_replay(hub: Hub, read: Callable[..., Any]) -> None:
    publish(hub.url, [{"type": kind, "room": "f", "n": n} for n, kind in enumerate(["a", "b", "c", "a"])])
    with read(hub.url, room="f", types=["a", "b"], replay=100) as stream:
        first = next(stream)
        assert isinstance(first, dict)
        assert [first["n"], *(event_n(next(stream)) for _ in range(2))] == [0, 1, 3]
    with read(hub.url, room="f", since=first["id"]) as stream:
        assert event_n(next(stream)) == 1


def event_n(item: dict[str, Any] | Gap) -> int:
    assert isinstance(item, dict)
    return int(item["n"])


def test_a_position_of_another_history_is_a_gap(hub: Hub, read: Callable[..., Any]) -> None:
    with read(hub.url, since="elsewhere-7") as stream:
        gap = next(stream)
        assert isinstance(gap, Gap)
        assert gap.missed is None
        assert stream.position
        assert (stream.status, stream.missed) == ("gap", None)


def test_a_refusal_ends_it(hub: Hub, read: Callable[..., Any]) -> None:
    stream = read(f"{hub.url}/api/nothing")
    with pytest.raises(Refused) as refused:
        next(stream)
    assert refused.value.status == 404
    assert stream.status == "refused"
    assert list(stream) == []


def test_silence_reconnects(read: Callable[..., Any]) -> None:
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
        with read(f"http://127.0.0.1:{server.getsockname()[1]}") as stream:
            assert next(stream) == {"type": "note"}
        assert len(asked) == 2


def test_a_connection_that_died_while_the_machine_slept_is_opened_again(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = 0.0
    awake = clock.seconds
    monkeypatch.setattr(clock, "seconds", lambda: awake() + slept)
    second = STREAM + CONNECTED + frame({"type": "note", "n": 2}, "e-2")
    with ScriptedServer([STREAM + CONNECTED + NOTE, second], keep=True) as server, read(server.url) as stream:
        assert next(stream) == {"type": "note"}

        def sleep() -> None:
            nonlocal slept
            until(lambda: stream._connections._reading_since is not None, 20)
            slept = 3600.0

        threading.Thread(target=sleep, daemon=True).start()
        assert next(stream) == {"type": "note", "n": 2}
        assert len(server.requests) == 2


def test_close_ends_an_iteration_in_another_thread(hub: Hub, read: Callable[..., Any]) -> None:
    stream = read(hub.url, types="never")
    done = threading.Event()
    threading.Thread(target=lambda: (list(stream), done.set()), daemon=True).start()
    deadline = time.monotonic() + 20
    while stream.position is None and time.monotonic() < deadline:
        time.sleep(0.02)
    stream.close()
    assert done.wait(20)
    assert stream.status == "closed"


def test_where_shutdown_does_not_end_a_read_the_socket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(connections, "SHUTDOWN_WAKES", False)
    with ScriptedServer([STREAM + CONNECTED + NOTE], keep=True) as server, follow(server.url) as stream:
        assert next(stream) == {"type": "note"}
        connected = stream._connections._socket
        assert connected is not None
        assert connected.fileno() >= 0
        stream.close()
        assert connected.fileno() == -1
        assert list(stream) == []


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-"], ids=["nothing", "half"]
)
def test_close_ends_a_wait_for_the_answer(read: Callable[..., Any], sent: bytes) -> None:
    with ScriptedServer([sent], keep=True) as server:
        stream = read(server.url)
        done = threading.Event()
        threading.Thread(target=lambda: (list(stream), done.set()), daemon=True).start()
        until(lambda: server.requests, 20)
        stream.close()
        assert done.wait(20)  # by itself it waits for 37.5 s
        assert stream.status == "closed"


def test_headers_that_never_end_count_as_silence(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something comes all the time, so that no read times out."""
    monkeypatch.setattr("streaming_hub_client.stream.HEARTBEAT", 0.4)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            client.recv(4096)
            with contextlib.suppress(OSError):  # given up
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not over.wait(0.1):
                    client.sendall(b"x")
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(STREAM + CONNECTED + NOTE)

        threading.Thread(target=serve, daemon=True).start()
        stream = read(f"http://127.0.0.1:{server.getsockname()[1]}")
        got: list[Any] = []
        threading.Thread(target=lambda: got.append(next(stream)), daemon=True).start()
        try:
            until(lambda: got, 30)
        finally:
            over.set()
            stream.close()
        assert got == [{"type": "note"}]


@pytest.mark.parametrize("place", ["http://[", "http://127.0.0.1:99999/", "file:///etc/passwd", "//"])
def test_a_redirect_to_no_address_passes(
    read: Callable[..., Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    moved = answer("302 Found", f"Location: {place}")
    with ScriptedServer([moved, STREAM + CONNECTED + NOTE]) as server, read(server.url) as stream:
        assert next(stream) == {"type": "note"}


def test_a_position_beyond_ascii_resumes(read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub gives one; the stream of another server may."""
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    odd = STREAM + CONNECTED + 'id: \u20ac\U0001f600\ndata: {"type":"note"}\n\n'.encode()
    with ScriptedServer([odd, STREAM + CONNECTED + NOTE]) as server, read(server.url) as stream:
        assert [next(stream)["type"], next(stream)["type"]] == ["note", "note"]
        assert "last_event_id=%E2%82%AC%F0%9F%98%80" in server.requests[1].line


def test_a_compressed_stream_is_read(read: Callable[..., Any]) -> None:
    """Some proxies compress whatever the client accepts."""
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(CONNECTED + NOTE) + packer.flush(zlib.Z_SYNC_FLUSH)
    head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    with ScriptedServer([head + body], keep=True) as server, read(server.url) as stream:
        assert next(stream) == {"type": "note"}


def test_a_refusal_in_pieces_is_read_whole(read: Callable[..., Any]) -> None:
    problem = b'{"status": 403, "detail": "Not your room."}'
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\n\r\n")
            for byte in problem:
                client.sendall(bytes([byte]))
                time.sleep(0.005)
            client.close()

        threading.Thread(target=serve, daemon=True).start()
        stream = read(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(Refused, match=r"403: Not your room\."):
            next(stream)


def test_a_key_that_no_header_can_carry_is_the_callers_mistake(read: Callable[..., Any]) -> None:
    with ScriptedServer([STREAM + CONNECTED + NOTE]) as server:
        for key in ("two\nlines", "\u20ac"):
            with (
                read(server.url, key=key) as stream,
                pytest.raises(ValueError, match="key: holds characters"),
            ):
                next(stream)
        with read(server.url, key="from-a-file\n") as stream:
            assert next(stream) == {"type": "note"}
        assert server.requests[0].headers["authorization"] == "Bearer from-a-file"


@pytest.mark.parametrize("wrong", [{"since": 5}, {"room": []}, {"room": 5}, {"types": ["a", None]}])
def test_arguments_that_mean_nothing_are_refused(read: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")):
        read("http://localhost", **wrong)


def test_the_hubs_warnings_about_filters_are_logged_once(
    hub: Hub, read: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    start = publish(hub.url, [{"type": "numbered", "room": "warned", "n": n} for n in range(2)])["ids"][0]
    with read(hub.url, room=["warned", "a,b"], since=start) as stream:
        assert event_n(next(stream)) == 1
    assert [one.levelname for one in caplog.records if "a,b" in one.getMessage()] == ["WARNING"]


def test_two_tasks_share_a_stream() -> None:
    events = b"".join(frame({"type": "numbered", "n": n}, f"e-{n + 1}") for n in range(100))

    async def run(url: str) -> list[int]:
        got: list[int] = []

        async def take(stream: Any) -> None:
            while len(got) < 100:
                got.append((await anext(stream))["n"])

        async with afollow(url) as stream:
            tasks = [asyncio.ensure_future(take(stream)) for _ in range(2)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=20)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return got

    with ScriptedServer([STREAM + CONNECTED + events], keep=True) as server:
        assert sorted(asyncio.run(run(server.url))) == list(range(100))


def test_it_is_live_once_it_has_caught_up(hub: Hub, read: Callable[..., Any]) -> None:
    start = publish(hub.url, [{"type": "numbered", "room": "live", "n": n} for n in range(3)])["ids"][0]
    with read(hub.url, room="live", since=start) as stream:
        assert stream.status == "connecting"
        assert event_n(next(stream)) == 1
        assert stream.status == "catching-up"
        assert event_n(next(stream)) == 2
        assert stream.status == "live"
        assert stream.missed == 0


def test_a_key_does_not_follow_a_redirect_to_another_origin(read: Callable[..., Any]) -> None:
    stream = STREAM + CONNECTED + NOTE
    with ScriptedServer([stream]) as other:
        moved = answer("307 Temporary Redirect", f"Location: {other.url}/api/stream")
        with ScriptedServer([moved]) as first, read(first.url, key="secret") as reader:
            assert next(reader) == {"type": "note"}
        assert first.requests[0].headers["authorization"] == "Bearer secret"
        assert "authorization" not in other.requests[0].headers
    here = answer("307 Temporary Redirect", "Location: /elsewhere")
    with ScriptedServer([here, stream]) as same, read(same.url, key="secret") as reader:
        assert next(reader) == {"type": "note"}
        assert same.requests[1].line.startswith("GET /elsewhere ")
        assert same.requests[1].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("name", ["key", "ticket"])
def test_a_credential_is_asked_for_before_every_connection(
    read: Callable[..., Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    given = iter(["one", "two", "three"])
    lost = STREAM + CONNECTED
    with ScriptedServer([lost, lost, lost + NOTE]) as server:
        with read(server.url, **{name: lambda: next(given)}) as stream:
            assert next(stream) == {"type": "note"}
        for word, request in zip(["one", "two", "three"], server.requests, strict=True):
            if name == "key":
                assert request.headers["authorization"] == f"Bearer {word}"
            else:
                assert f"ticket={word}" in request.line


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_the_least_wait(
    read: Callable[..., Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    # A date has whole seconds.
    wanted = "2" if form == "seconds" else email.utils.formatdate(time.time() + 3, usegmt=True)
    busy = answer("503 Service Unavailable", f"Retry-After: {wanted}")
    with ScriptedServer([busy, STREAM + CONNECTED + NOTE]) as server:
        with read(server.url) as stream:
            assert next(stream) == {"type": "note"}
        first, second = server.requests
        assert second.at - first.at >= 1.9


def test_a_cancelled_wait_loses_nothing(hub: Hub) -> None:
    async def run() -> list[int]:
        start = (await asyncio.to_thread(publish, hub.url, {"type": "start", "room": "cancel"}))["id"]
        async with afollow(hub.url, room="cancel", since=start) as stream:
            for _ in range(5):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.05)
            events = [{"type": "numbered", "room": "cancel", "n": n} for n in range(50)]
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.to_thread(publish, hub.url, events)
            waiting.cancel()
            got = []
            with contextlib.suppress(asyncio.CancelledError):
                got.append(event_n(await waiting))  # it was quicker
            while len(got) < len(events):
                got.append(event_n(await anext(stream)))
            return got

    assert asyncio.run(run()) == list(range(50))


def test_a_stream_that_is_left_ends_its_thread(hub: Hub) -> None:
    def threads() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name.startswith("hub-stream")]

    async def run() -> None:
        publish(hub.url, {"type": "note", "room": "left"})
        await anext(afollow(hub.url, room="left", replay=1))
        assert threads()

    before = threads()
    asyncio.run(run())
    gc.collect()
    deadline = time.monotonic() + 20
    while set(threads()) - set(before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not set(threads()) - set(before)


@pytest.mark.parametrize(
    "first", [Reply(503, b"{}"), Reply(502, b"<html>"), Reply(429), Reply(cut=True, stores=True)]
)
def test_retries_of_publish_keep_the_event_id(first: Reply) -> None:
    with FakeHub() as hub:
        hub.script.extend([first, first])
        publish(hub.url, [{"type": "note", "n": 1}, {"type": "note", "n": 2, "event_id": "mine"}])
        assert len(hub.requests) == 3
        ids = [[event["event_id"] for event in request.events] for request in hub.requests]
        assert ids[0] == ids[1] == ids[2]
        assert ids[0][0]
        assert ids[0][1] == "mine"
        assert [event["n"] for event in hub.events] == [1, 2]


@pytest.mark.parametrize(
    "body", [b'{"ok":true}', b'{"status":"ok"}', b'{"status":"ok","ids":["e-1"]}', b"[]", b""]
)
def test_publish_takes_no_strangers_word(body: bytes) -> None:
    with FakeHub() as hub:
        hub.default = Reply(body=body, stores=False)
        with pytest.raises(Refused):
            publish(hub.url, [{"type": "note"}, {"type": "note"}])
        with pytest.raises(Refused):
            publish(hub.url, {"type": "note"})


def test_publish_says_where_a_stranger_sends_it() -> None:
    with FakeHub() as hub:
        hub.default = Reply(302, b"", {"Location": "https://login.example/"}, stores=False)
        with pytest.raises(Refused, match=r"not a hub; it redirects to https://login\.example/"):
            publish(hub.url, {"type": "note"})


@pytest.mark.parametrize("event_id", [None, ""])
def test_publish_gives_an_event_without_a_name_one(event_id: str | None) -> None:
    with FakeHub() as hub:
        publish(hub.url, [{"type": "note", "event_id": event_id}] * 2)
        assert len({event["event_id"] for event in hub.events} - {None, ""}) == 2


def test_publish_gives_up_in_time() -> None:
    with FakeHub() as hub:
        hub.default = Reply(503, b"{}", {"Retry-After": "60"})
        with pytest.raises(Refused) as refused:
            publish(hub.url, {"type": "note"}, timeout=5)
        assert refused.value.status == 503
        assert len(hub.requests) == 1
    with pytest.raises(requests.ConnectionError):
        publish(hub.url, {"type": "note"}, timeout=0.5)


def test_publish_names_events_and_raises_refusals(hub: Hub) -> None:
    event = {"type": "named", "room": "p"}
    assert publish(hub.url, event)["status"] == "ok"
    assert event == {"type": "named", "room": "p"}
    with pytest.raises(Refused) as refused:
        publish(hub.url, {"type": 7})
    assert refused.value.status in (400, 422)
