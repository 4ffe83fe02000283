"""`follow` and `afollow`, by the same tests: against a real hub, and servers that misbehave.

Covers streaming_hub_client.connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gc
import random
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Self

import pytest
from streaming_hub_client import Gap, Refused, afollow, clock, connections, follow, publish

from tests.kit.hub import Hub
from tests.kit.tcp_proxy import Proxy
from tests.kit.wait import until
from tools.conformance.cases import connected, event, live, refused
from tools.conformance.server import Part, Server, answer, head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

NOTE = {"type": "note", "n": 1}


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
    monkeypatch.setattr("tests.kit.tcp_proxy.CHUNK", 700)  # so that cuts fall within events
    proxy = Proxy([hub.port])
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
        until(lambda: proxy.accepted, 20)
        for _ in range(cuts):
            time.sleep(random.uniform(0.02, 0.3))
            proxy.cut()
        over.set()

    threads = [threading.Thread(target=one, daemon=True) for one in (send, cut)]
    for thread in threads:
        thread.start()
    got: list[int] = []
    with proxy, read(f"http://127.0.0.1:{proxy.port}", room="cuts", since=start) as stream:
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
    assert proxy.accepted > cuts // 2


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
    with Server([live(heartbeat=0.2), live(event(1))]) as server, read(server.url) as stream:
        assert next(stream) == NOTE
        assert len(server.requests) == 2


def test_a_connection_that_died_while_the_machine_slept_is_opened_again(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = 0.0
    awake = clock.seconds
    monkeypatch.setattr(clock, "seconds", lambda: awake() + slept)
    with Server([live(event(1)), live(event(2))]) as server, read(server.url) as stream:
        assert next(stream) == NOTE

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
    until(lambda: stream.position, 20)
    stream.close()
    assert done.wait(20)
    assert stream.status == "closed"


def test_where_shutdown_does_not_end_a_read_the_socket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(connections, "SHUTDOWN_WAKES", False)
    with Server([live(event(1))]) as server, follow(server.url) as stream:
        assert next(stream) == NOTE
        open_socket = stream._connections._socket
        assert open_socket is not None
        assert open_socket.fileno() >= 0
        stream.close()
        assert open_socket.fileno() == -1
        assert list(stream) == []


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-"], ids=["nothing", "half"]
)
def test_close_ends_a_wait_for_the_response(read: Callable[..., Any], sent: bytes) -> None:
    with Server([Part([sent], "hold")]) as server:
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
    """Bytes arrive all the time, so no single read times out."""
    monkeypatch.setattr("streaming_hub_client.stream.HEARTBEAT", 0.4)
    drips = Part([b"HTTP/1.1 200 OK\r\nX-Slow: ", *[b"x"] * 900])
    got: list[Any] = []
    with Server([drips, live(event(1))]) as server, read(server.url) as stream:
        threading.Thread(target=lambda: got.append(next(stream)), daemon=True).start()
        until(lambda: got, 30)
    assert got == [NOTE]


@pytest.mark.parametrize("place", ["http://[", "http://127.0.0.1:99999/", "file:///etc/passwd", "//"])
def test_a_redirect_to_no_address_is_temporary(
    read: Callable[..., Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    moved = Part([answer("302 Found", f"Location: {place}")])
    with Server([moved, live(event(1))]) as server, read(server.url) as stream:
        assert next(stream) == NOTE


def test_a_position_beyond_ascii_resumes(read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub sends one; another server may."""
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    odd = 'id: \u20ac\U0001f600\ndata: {"type":"note"}\n\n'.encode()
    with Server([Part([connected(), odd]), live(event(1))]) as server, read(server.url) as stream:
        assert [next(stream)["type"], next(stream)["type"]] == ["note", "note"]
        assert "last_event_id=%E2%82%AC%F0%9F%98%80" in server.requests[1].target


def test_a_compressed_stream_is_read(read: Callable[..., Any]) -> None:
    """Some proxies compress even what was requested without."""
    packer = zlib.compressobj(wbits=31)
    begin = head("Content-Type: text/event-stream", "Content-Encoding: gzip")
    packed = packer.compress(connected(begin=b"") + event(1)) + packer.flush(zlib.Z_SYNC_FLUSH)
    with Server([Part([begin + packed], "hold")]) as server, read(server.url) as stream:
        assert next(stream) == NOTE


def test_a_refusal_in_pieces_is_read_whole(read: Callable[..., Any]) -> None:
    whole = refused(403, "Forbidden", "Not your room.").pieces[0]
    assert isinstance(whole, bytes)
    pieces = Part([whole[:-30], whole[-30:-10], whole[-10:]])
    with Server([pieces]) as server, pytest.raises(Refused, match=r"403: Not your room\."):
        next(read(server.url))


def test_a_refusal_that_stalls_is_one(read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REFUSAL_TIMEOUT", 0.3)
    whole = refused(403, "Forbidden", "Not your room.").pieces[0]
    assert isinstance(whole, bytes)
    with (
        Server([Part([whole[:-30]], "hold")]) as server,
        pytest.raises(Refused, match="not as a hub does"),
    ):
        next(read(server.url))


def test_a_key_that_no_header_can_carry_is_an_error(read: Callable[..., Any]) -> None:
    with Server([live(event(1))]) as server:
        for key in ("two\nlines", "a\0b"):
            with pytest.raises(ValueError, match="the key holds a control character"):
                read(server.url, key=key)
            with (
                read(server.url, key=lambda key=key: key) as stream,
                pytest.raises(ValueError, match="the key holds"),
            ):
                next(stream)
        with read(server.url, key="\u20ac-from-a-file\n") as stream:
            assert next(stream) == NOTE
        assert [one.headers["authorization"].encode("latin-1").decode() for one in server.requests] == [
            "Bearer \u20ac-from-a-file"
        ]


@pytest.mark.parametrize("wrong", [{"since": 5}, {"room": []}, {"room": 5}, {"types": ["a", None]}])
def test_arguments_that_mean_nothing_are_errors(read: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: "):
        read("http://localhost", **wrong)


def test_the_hubs_warnings_about_filters_are_logged_once(
    hub: Hub, read: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    start = publish(hub.url, [{"type": "numbered", "room": "warned", "n": n} for n in range(2)])["ids"][0]
    with read(hub.url, room=["warned", "a,b"], since=start) as stream:
        assert event_n(next(stream)) == 1
    assert [one.levelname for one in caplog.records if "a,b" in one.getMessage()] == ["WARNING"]


def test_two_tasks_share_a_stream() -> None:
    events = b"".join(event(n) for n in range(100))

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

    with Server([live(events)]) as server:
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
    stream = live(event(1))
    with Server([stream]) as other:
        moved = Part([answer("307 Temporary Redirect", f"Location: {other.url}/api/stream")])
        with Server([moved]) as first, read(first.url, key="secret") as reader:
            assert next(reader) == NOTE
        assert first.requests[0].headers["authorization"] == "Bearer secret"
        assert "authorization" not in other.requests[0].headers
    here = Part([answer("307 Temporary Redirect", "Location: /stream2")])
    with Server([here, stream]) as same, read(same.url, key="secret") as reader:
        assert next(reader) == NOTE
        assert same.requests[1].target == "/stream2"
        assert same.requests[1].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("location", ["http://[::1", "http://127.0.0.1:99999/", "ftp://hub/", "http://"])
def test_a_redirect_to_no_address_is_passing_trouble(
    read: Callable[..., Any], location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    moved = Part([answer("307 Temporary Redirect", f"Location: {location}")])
    with Server([moved, live(event(1))]) as server, read(server.url, key="secret") as reader:
        assert next(reader) == NOTE


def test_an_event_that_is_nested_without_end_is_passing_trouble(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    deep = Part([connected(), b"data: " + b"[" * 100_000 + b"\n\n"])
    with Server([deep, live(event(1))]) as server, read(server.url) as reader:
        assert next(reader) == NOTE


@pytest.mark.parametrize("name", ["key", "ticket"])
def test_a_credential_is_asked_for_before_every_connection(
    read: Callable[..., Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    given = iter(["one", "two", "three"])
    lost = Part([connected()])
    with Server([lost, lost, live(event(1))]) as server:
        with read(server.url, **{name: lambda: next(given)}) as stream:
            assert next(stream) == NOTE
        for word, request in zip(["one", "two", "three"], server.requests, strict=True):
            if name == "key":
                assert request.headers["authorization"] == f"Bearer {word}"
            else:
                assert f"ticket={word}" in request.target


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_the_least_wait(
    read: Callable[..., Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    # A date has whole seconds.
    wanted = "2" if form == "seconds" else email.utils.formatdate(time.time() + 3, usegmt=True)
    busy = Part([answer("503 Service Unavailable", f"Retry-After: {wanted}")])
    with Server([busy, live(event(1))]) as server:
        with read(server.url) as stream:
            assert next(stream) == NOTE
        first, second = server.requests
        assert second.at - first.at >= 1.9


def test_the_log_says_why_no_stream_can_be_opened(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streaming_hub_client.stream.FIRST_PAUSE", 0.01)
    page = Part([answer("502 Bad Gateway", "Content-Type: text/html", "Server: proxy/1", body=b"<html>")])
    with Server([page, live(event(1))]) as server, read(server.url) as stream:
        assert next(stream) == NOTE
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert f"{server.url}/api/stream answered 502, and not as a hub does (Server: proxy/1)." in warning


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
    until(lambda: set(threads()) <= set(before), 20)
