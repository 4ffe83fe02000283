"""Connected sockets outside gevent: bare, non-blocking, and quick to notice a dead peer."""

from __future__ import annotations

import _socket  # the C type: no gevent watcher and no Python wrapper, 200 bytes less per client
import select
from typing import Any, Final

from gevent import monkey

KEEP_IDLE, KEEP_INTERVAL, KEEP_COUNT = 20, 10, 3
"""Seconds of silence before a probe, seconds between probes, probes without an answer until the peer counts as gone."""
USER_TIMEOUT_MS: Final = 45_000
"""How long sent bytes may stay unacknowledged. It ends a living reader with a full window, too: so not below 30 s."""
ANSWER_TIMEOUT: Final = 30.0
"""Seconds within which a client has to take an answer; streams have a limit of their own."""
NOT_SENT_BYTES: Final = 128 * 1024
"""How much the kernel keeps for a client that does not take it. Left alone it keeps up to 4 MB, and says that there is
room only when a third is free: a slow reader would seem to make no progress for minutes."""


def epoll_type() -> Any:
    """Return the real `select.epoll`, also after monkey-patching; None where the system has none."""
    try:
        return monkey.get_original("select", "epoll")
    except AttributeError:
        return None


def bare(descriptor: int) -> _socket.socket:
    """Take over a connected descriptor; the socket does not block."""
    sock = _socket.socket(fileno=descriptor)
    sock.settimeout(0)
    return sock


def tune(sock: _socket.socket) -> None:
    """Set what a stream needs: no delay, keep-alive on. Accepted sockets have it from the one that listens."""
    if sock.family not in (_socket.AF_INET, _socket.AF_INET6) or _is_tuned(sock):
        return
    sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_IDLE),
        ("TCP_KEEPINTVL", KEEP_INTERVAL),
        ("TCP_KEEPCNT", KEEP_COUNT),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_NOTSENT_LOWAT", NOT_SENT_BYTES),
    ):
        # macOS has another name for the first and lacks some of the others.
        option = getattr(_socket, name, None)
        if option is not None:
            sock.setsockopt(_socket.IPPROTO_TCP, option, value)


def _is_tuned(sock: _socket.socket) -> bool:
    option = getattr(_socket, "TCP_USER_TIMEOUT", None)
    return option is not None and sock.getsockopt(_socket.IPPROTO_TCP, option) == USER_TIMEOUT_MS


READ = getattr(select, "EPOLLIN", 1) | getattr(select, "EPOLLRDHUP", 0x2000)
WRITE = getattr(select, "EPOLLOUT", 4)
HANG_UP = (
    getattr(select, "EPOLLHUP", 0x10) | getattr(select, "EPOLLERR", 8) | getattr(select, "EPOLLRDHUP", 0x2000)
)
