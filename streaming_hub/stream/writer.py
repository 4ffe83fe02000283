"""One writer for all sockets, on gevent's loop.

The hub enqueues; only the writer sends. It joins everything that waits for a client into one `send`, keeps what the
socket did not accept, and continues when the socket is writable (`readiness`). Fan-out runs in slices: after `TURN`
seconds it lets the loop serve requests before it continues. Runs on the loop's thread only.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import gevent

from streaming_hub.stream import readiness, sockets
from streaming_hub.stream.disk import DiskReader
from streaming_hub.stream.frames import LAST_LOOK, goodbye, heartbeat
from streaming_hub.stream.hub import Wait
from streaming_hub.stream.open_stream import Stats, Stream
from streaming_hub.stream.pauses import NAP
from streaming_hub.stream.takeback import cut

if TYPE_CHECKING:
    from _socket import socket as BareSocket  # noqa: N812 - the C type has a lower-case name

    from streaming_hub.stream.hub import Hub
    from streaming_hub.stream.subscriber import Subscriber

log = logging.getLogger(__name__)

TURN: Final = 0.002
"""Seconds of sending after which the loop gets a turn."""
REST: Final = 0.002
"""Seconds after a delivery in which further events are collected, to go out as one piece; a lone one never waits."""
PAGES_PER_TURN: Final = 4
"""How many pages of history one reader is sent before another one's turn."""
STALL: Final = 30.0
"""Seconds without progress after which a stream is closed."""
MIN_NAP: Final = 0.002
"""Seconds; a shorter sleep costs more than it gains."""
MOST_NAP: Final = 0.1
"""Maximum seconds between two goodbyes: a few streams need not be spread over the whole time."""
HEARTS_PER_TURN: Final = 100
MAX_TICK: Final = 0.25
"""Seconds between checks of the clock, at most."""


class Writer:
    """Sends to every stream that was handed over.

    Args:
        hub: whose subscribers the streams are.
        heartbeat: seconds between two heartbeats of a stream.
    """

    def __init__(self, hub: Hub, *, heartbeat: float) -> None:
        self.stats = Stats()
        self._hub = hub
        self._streams: dict[int, Stream] = {}
        self._blocked: dict[Stream, None] = {}
        self._expiring: dict[Stream, None] = {}
        self._busy: deque[Stream] = deque()
        self._scheduled = False
        self._next_turn: Any = None
        """The loop's callback that delivers, while one is due."""
        self._tick = min(MAX_TICK, heartbeat / 4)
        self._buckets: list[dict[Stream, None]] = [{} for _ in range(max(1, round(heartbeat / self._tick)))]
        self._next_bucket = 0
        self._disk = DiskReader(hub, self._resume)
        self._loop = gevent.get_hub().loop
        self._readiness = readiness.make()
        self._again = self._loop.timer(0)
        # It repeats, because libev restarts a one-shot timer with the remaining time, which is zero.
        self._rest = self._loop.timer(REST, REST)
        self._delivered = 0.0
        self._ticker: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to watch sockets and the clock, and let the hub call for delivery."""
        self._hub.schedule = self._schedule
        self._hub.urge = self._hurry
        self._hub.take_back = self._take_back
        self._hub.resume = self._resume
        self._readiness.start(self._on_ready)
        self._ticker = gevent.spawn(self._tick_forever)

    def __len__(self) -> int:
        return len(self._streams)

    def adopt(self, socket: BareSocket, subscriber: Subscriber, head: bytes) -> None:
        """Take over a connected socket and serve its subscriber from now on.

        Args:
            socket: does not block; owned by the writer from here on.
            subscriber: not yet subscribed.
            head: the response's status line and headers.
        """
        sockets.tune(socket)
        stream = Stream(socket, subscriber, head)
        try:
            self._readiness.register(stream.descriptor)
        except OSError:
            socket.close()
            raise
        subscriber.stream = self._streams[stream.descriptor] = stream
        self._hub.subscribe(subscriber)
        # Spread the heartbeats, so that they are not all due at the same time.
        stream.bucket = self._next_bucket
        self._next_bucket = (self._next_bucket + 1) % len(self._buckets)
        self._buckets[stream.bucket][stream] = None
        if subscriber.expires_at is not None:
            self._expiring[stream] = None
        self.stats.opened += 1
        first = self._hub.pull(subscriber)
        if isinstance(first, bytes):
            # Head and first frames as one packet.
            stream.out = head + first
        self._send(stream)

    def drain(self, seconds: float) -> None:
        """Say goodbye to all streams, spread over a time, and close them.

        Args:
            seconds: at most, until the last one; each client gets a `retry` of 1 to 5 s.
        """
        until = time.monotonic() + seconds
        # The agent's last words may have just arrived: all streams get them before the goodbyes.
        while self._hub.pending and time.monotonic() < until:
            gevent.sleep(NAP)
        self._hub.deliver_pending()
        streams = list(self._streams.values())
        random.shuffle(streams)
        for left in range(len(streams), 0, -1):
            stream = streams[left - 1]
            if not stream.closing:
                self._say_goodbye(stream, "draining", random.randint(1000, 5000))
            # After the last one there is no stream left to wait for.
            pause = min(MOST_NAP, (until - time.monotonic()) / left) if left > 1 else 0.0
            # Thousands of tiny sleeps would take too long in total.
            if pause > MIN_NAP or left % 50 == 0:
                gevent.sleep(max(0.0, pause))
        deadline = time.monotonic() + 1.0
        while self._streams and time.monotonic() < deadline:
            gevent.sleep(0.02)
        for stream in list(self._streams.values()):
            self._close(stream)

    def close(self) -> None:
        """Stop watching; close open sockets without a goodbye."""
        if self._ticker is not None:
            self._ticker.kill()
        for stream in list(self._streams.values()):
            self._close(stream)
        for watcher in (self._again, self._rest):
            watcher.stop()
            watcher.close()
        self._readiness.close()

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        if time.monotonic() - self._delivered < REST:
            self._rest.again(self._end_rest)
        else:
            self._next_turn = self._loop.run_callback(self._take_turn)

    def _hurry(self) -> None:
        """Run the delivery that is scheduled for the loop's next turn now, in the calling greenlet."""
        if self._next_turn is not None:
            self._next_turn.stop()
            self._take_turn()

    def _end_rest(self) -> None:
        self._rest.stop()
        self._take_turn()

    def _take_turn(self) -> None:
        self._next_turn = None
        try:
            done = self._go_on(time.monotonic() + TURN)
        except Exception:
            log.exception(
                "unexpected error: a delivery failed; all readers resume from the history, so none misses anything"
            )
            for subscriber in self._hub.send_all_back():
                self._resume(subscriber)
            done = False
        if done:
            self._scheduled = False
            self._delivered = time.monotonic()
            if self._hub.pending:
                self._schedule()
        else:
            # Not run_callback: the loop would run it again before it polls any socket.
            self._again.start(self._take_turn)

    def _go_on(self, until: float) -> bool:
        """Deliver and send; return whether a sweep has ended or nothing is left to do."""
        step = self._hub.step
        while True:
            served = step()
            for subscriber in served or ():
                stream = subscriber.stream
                if stream is None or stream.blocked:
                    continue
                if stream.out or stream.closing or not subscriber.live:
                    self._send(stream)
                else:
                    # Fast path for nearly every event and client.
                    data = subscriber.take()
                    if data:
                        self._push(stream, data)
            if self._busy:
                stream = self._busy.popleft()
                stream.queued = False
                self._send(stream)
            elif not served:
                return True
            if time.monotonic() >= until:
                return False

    def _send(self, stream: Stream) -> None:
        """Send what is pending until everything is sent or the socket is full."""
        subscriber = stream.subscriber
        if subscriber.stream is not stream:
            # It was closed while waiting for its turn.
            return
        for _ in range(PAGES_PER_TURN):
            data = stream.out
            if not data:
                if stream.closing:
                    self._end(stream)
                    return
                pulled = self._hub.pull(subscriber)
                if pulled is Wait.EVENT:
                    return
                if pulled is Wait.DISK:
                    self._disk.ask(subscriber)
                    return
                if pulled is Wait.TURN:
                    break
                data = pulled
            stream.out = b""
            if not self._push(stream, data):
                return
            if subscriber.live and not (subscriber.waiting or subscriber.owed_heartbeat or stream.closing):
                return
        self._requeue(stream)

    def _push(self, stream: Stream, data: bytes | memoryview) -> bool:
        """Send bytes; buffer what the socket does not accept. Return whether it accepted all."""
        try:
            sent = stream.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up(stream)
            return False
        if sent == len(data):
            return True
        self._block(stream, data, sent)
        return False

    def _requeue(self, stream: Stream) -> None:
        if not stream.queued:
            stream.queued = True
            self._busy.append(stream)
        self._schedule()

    def _resume(self, subscriber: Subscriber) -> None:
        stream = subscriber.stream
        if stream is not None and not stream.blocked:
            self._requeue(stream)

    def _block(self, stream: Stream, data: bytes | memoryview, sent: int) -> None:
        stream.out = memoryview(data)[sent:]
        stream.progress = time.monotonic()
        if not stream.blocked:
            stream.blocked = True
            self._blocked[stream] = None
            self._readiness.want_write(stream.descriptor, wanted=True)

    def _take_back(self, subscriber: Subscriber) -> int | None:
        """Drop what a slow client's socket has not accepted, as far as frames allow; else close it, and it resumes."""
        stream = subscriber.stream
        if stream is not None and subscriber.intro:
            self._close(stream)  # its pending bytes describe the rooms before the erasure
        if stream is None or not stream.blocked or not isinstance(stream.out, memoryview):
            return None
        data = bytes(stream.out.obj)
        found = cut(data, len(data) - len(stream.out), chunked=subscriber.chunked)
        if found is None or stream.closing:
            self._close(stream)
            return None
        stream.out = memoryview(found.rest)
        return found.position

    def _unblock(self, stream: Stream) -> None:
        stream.blocked = False
        self._blocked.pop(stream, None)
        self._readiness.want_write(stream.descriptor, wanted=False)
        self._send(stream)

    def _on_ready(self) -> None:
        until = time.monotonic() + TURN
        for descriptor, event in self._readiness.poll():
            stream = self._streams.get(descriptor)
            if stream is None:
                continue
            try:
                self._look_at(stream, event)
            except Exception:
                # An error that escaped from here would end the watching of all sockets.
                log.exception("unexpected error: a stream failed and was closed; its reader resumes")
                self._close(stream)
            if time.monotonic() >= until:
                # Readiness is level-triggered: the others are reported again.
                return

    def _look_at(self, stream: Stream, event: int) -> None:
        if event & readiness.HANG_UP or (event & readiness.READ and not self._still_there(stream)):
            self._hang_up(stream)
        elif event & readiness.WRITE:
            self._unblock(stream)

    def _still_there(self, stream: Stream) -> bool:
        """Read and discard what a client sends after its request."""
        try:
            return bool(stream.socket.recv(4096))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _hang_up(self, stream: Stream) -> None:
        self.stats.hung_up += 1
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        if self._streams.get(stream.descriptor) is not stream:
            return
        del self._streams[stream.descriptor]
        self._hub.unsubscribe(stream.subscriber)
        self._blocked.pop(stream, None)
        self._expiring.pop(stream, None)
        self._buckets[stream.bucket].pop(stream, None)
        self._readiness.unregister(stream.descriptor)
        stream.socket.close()
        # Remaining references to the record must find nothing to send to.
        stream.subscriber.stream = None
        stream.blocked = True

    def _end(self, stream: Stream) -> None:
        if stream.subscriber.in_page:
            self._hub.unsubscribe(stream.subscriber)
            gevent.spawn_later(LAST_LOOK, self._close, stream)
        else:
            self._close(stream)

    def _say_goodbye(self, stream: Stream, reason: str, retry_ms: int) -> None:
        stream.closing, subscriber = True, stream.subscriber
        rest = bytes(stream.out) + subscriber.take()
        rest += goodbye(reason, retry_ms, chunked=subscriber.chunked, whole=not subscriber.in_page)
        # A view, like everything a socket has not accepted: an erasure meanwhile closes the stream.
        stream.out = memoryview(rest)
        if not stream.blocked:
            self._send(stream)

    def _tick_forever(self) -> None:
        position = 0
        due = time.monotonic()
        while True:
            due = max(due + self._tick, time.monotonic())
            gevent.sleep(due - time.monotonic())
            try:
                self._tick_once(self._buckets[position])
            except Exception:
                log.exception("unexpected error: a check of the open streams failed; continuing")
            position = (position + 1) % len(self._buckets)

    def _tick_once(self, due: dict[Stream, None]) -> None:
        self._beat(due)
        self._close_stalled(time.monotonic())
        self._close_expired(self._hub.clock())

    def _beat(self, streams: dict[Stream, None]) -> None:
        now = self._hub.clock()
        for count, stream in enumerate(list(streams), 1):
            subscriber = stream.subscriber
            # Bytes in flight are a sign of life, too.
            reads = subscriber.live or (self._hub.history.away is not None and not subscriber.intro)
            if reads and not stream.out and not stream.closing and subscriber.stream is stream:
                if subscriber.waiting:
                    self._send(stream)
                if not stream.out:
                    stream.out = heartbeat(now, self._hub.place(subscriber), chunked=subscriber.chunked)
                    self._send(stream)
            if count % HEARTS_PER_TURN == 0:
                gevent.sleep(NAP)

    def _close_stalled(self, now: float) -> None:
        # Ordered by when each was blocked, not by progress, so all are checked.
        for stream in [stream for stream in self._blocked if now - stream.progress > STALL]:
            log.info("a client read nothing for %g s and was disconnected", STALL)
            self.stats.stalled += 1
            self._close(stream)

    def _close_expired(self, now: float) -> None:
        for stream in [s for s in self._expiring if (s.subscriber.expires_at or now) <= now]:
            self._expiring.pop(stream)
            self._say_goodbye(stream, "credential_expired", 1000)
