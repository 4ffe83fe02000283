"""Options of accepted sockets, with and without the hub's own listener."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from streaming_hub import portability
from streaming_hub.portability import SWITCH
from streaming_hub.server.listening import listen
from streaming_hub.stream import sockets

if TYPE_CHECKING:
    from collections.abc import Callable

EVERYWHERE = {
    (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): sockets.KEEP_INTERVAL,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): sockets.KEEP_COUNT,
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT): sockets.NOT_SENT_BYTES,
}
LINUX = {"TCP_KEEPIDLE": sockets.KEEP_IDLE, "TCP_USER_TIMEOUT": sockets.USER_TIMEOUT_MS}


def expected() -> dict[tuple[int, int], int]:
    """Options and their values on this system."""
    if portability.MACOS:
        drop_time = (socket.IPPROTO_TCP, 0x80)
        return {
            **EVERYWHERE,
            (socket.IPPROTO_TCP, socket.TCP_KEEPALIVE): sockets.KEEP_IDLE,
            drop_time: sockets.USER_TIMEOUT_MS // 1000,
        }
    if portability.FORCED:
        return EVERYWHERE
    return {
        **EVERYWHERE,
        **{(socket.IPPROTO_TCP, getattr(socket, name)): value for name, value in LINUX.items()},
    }


def foreign_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("make", [lambda: listen("127.0.0.1", 0), foreign_listener], ids=["own", "foreign"])
def test_a_stream_s_socket_is_tuned(make: Callable[[], socket.socket]) -> None:
    with make() as listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as taken:
        stream = sockets.bare(taken.detach())
        sockets.tune(stream)
        set_to = {place: stream.getsockopt(*place) for place in expected()}
        kept_alive = stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        stream.close()
    assert set_to == expected()
    assert kept_alive


def test_what_only_linux_has_stays_unset_where_it_is_hidden() -> None:
    program = "from streaming_hub.stream import sockets; print(len(sockets.OPTIONS))"
    counts = [
        int(subprocess.check_output([sys.executable, "-c", program], env={**os.environ, SWITCH: value}))
        for value in ("0", "1")
    ]
    assert counts[1] == len(EVERYWHERE) + (2 if portability.MACOS else 0)
    assert counts[0] == len(expected()) or portability.FORCED


def test_a_peer_that_has_gone_is_left_to_the_first_send() -> None:
    # As macOS answers for a connection that its peer has reset.
    class Gone:
        family = socket.AF_INET

        def getsockopt(self, *_: int) -> int:
            return 0

        def setsockopt(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    sockets.tune(Gone())  # type: ignore[arg-type] # what is used of a socket
