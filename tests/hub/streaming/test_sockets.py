"""What accepted sockets have, with and without a listener of the hub's own."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from hub.streaming import sockets
from hub.streaming.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, sockets.KEEP_IDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, sockets.KEEP_INTERVAL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, sockets.KEEP_COUNT),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, sockets.USER_TIMEOUT_MS),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, sockets.NOT_SENT_BYTES),
]


def foreign_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("make", [lambda: listen("127.0.0.1", 0), foreign_listener], ids=["own", "foreign"])
def test_a_stream_s_socket_is_tuned(make: Callable[[], socket.socket]) -> None:
    with make() as listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as taken:
        stream = sockets.bare(taken.detach())
        sockets.tune(stream)
        set_to = {(level, option): stream.getsockopt(level, option) for level, option, _ in OPTIONS}
        stream.close()
    assert set_to == {(level, option): value for level, option, value in OPTIONS}
