"""Connected sockets outside gevent: plain, non-blocking, and quick to detect a dead peer."""

from __future__ import annotations

import _socket  # the C type: no gevent watcher and no Python wrapper, 200 bytes less per client
import logging
from typing import Final

from streaming_hub import portability

log = logging.getLogger(__name__)

KEEP_IDLE, KEEP_INTERVAL, KEEP_COUNT = 20, 10, 3
"""Seconds of silence before a probe, seconds between probes, unanswered probes until the peer counts as gone."""
USER_TIMEOUT_MS: Final = 45_000
"""How long sent bytes may stay unacknowledged. It ends a living reader with a full window, too: so not below 30 s."""
ANSWER_TIMEOUT: Final = 30.0
"""Seconds within which a client has to read a response; streams have their own limit."""
NOT_SENT_BYTES: Final = 128 * 1024
"""How much the kernel buffers for a client that does not read. By default it buffers up to 4 MB, and reports room only
once a third is free: a slow reader would seem to make no progress for minutes."""
_MACOS_DROP_TIME: Final = 0x80
"""TCP_RXT_CONNDROPTIME, in seconds: macOS's limit of unacknowledged bytes. Python has no name for it."""


def bare(descriptor: int) -> _socket.socket:
    """Take over a connected descriptor; the socket does not block."""
    sock = _socket.socket(fileno=descriptor)
    sock.settimeout(0)
    return sock


def tune(sock: _socket.socket) -> None:
    """Set what a stream needs: no delay, keep-alive, a limit for unacknowledged bytes, a small kernel buffer."""
    if sock.family not in (_socket.AF_INET, _socket.AF_INET6) or _is_tuned(sock):
        return
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        for option, value in OPTIONS:
            sock.setsockopt(_socket.IPPROTO_TCP, option, value)
    except OSError as error:
        # macOS answers EINVAL for a peer that has reset the connection; the first send reports it.
        log.debug("a client disconnected before its stream began: %s", error)


def _options() -> tuple[tuple[int, int], ...]:
    """Return options of TCP with their values, as far as the system has them. The last one marks a tuned socket."""
    extra = portability.extra
    wanted = (
        (_socket.TCP_NODELAY, 1),
        # macOS has other names for the idle time and for the limit of unacknowledged bytes (tcp.h).
        (extra(_socket, "TCP_KEEPIDLE") or getattr(_socket, "TCP_KEEPALIVE", None), KEEP_IDLE),
        (getattr(_socket, "TCP_KEEPINTVL", None), KEEP_INTERVAL),
        (getattr(_socket, "TCP_KEEPCNT", None), KEEP_COUNT),
        (extra(_socket, "TCP_USER_TIMEOUT"), USER_TIMEOUT_MS),
        (_MACOS_DROP_TIME if portability.MACOS else None, USER_TIMEOUT_MS // 1000),
        (getattr(_socket, "TCP_NOTSENT_LOWAT", None), NOT_SENT_BYTES),
    )
    return tuple((option, value) for option, value in wanted if option is not None)


OPTIONS: Final = _options()


def _is_tuned(sock: _socket.socket) -> bool:
    """Return whether a socket has inherited the listening socket's options."""
    option, value = OPTIONS[-1]
    return sock.getsockopt(_socket.IPPROTO_TCP, option) == value
