"""Sockets that listen: on one address, or by default on both of loopback.

Some clients resolve `localhost` to 127.0.0.1, others to ::1. On macOS AirPlay listens on port 5000 of all addresses: a
client that tries ::1 first reaches AirPlay unless the hub listens there too, since the more specific address wins.
"""

from __future__ import annotations

import errno
import logging
import socket
from typing import Final

from streaming_hub.errors import SettingsError
from streaming_hub.server.port_holder import port_holder
from streaming_hub.stream import sockets

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
LOOPBACK: Final = ("127.0.0.1", "::1")
"""Where the server listens unless a host is set."""
TRIES: Final = 20
"""How many free ports to try until both addresses have the same one."""
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen_at(host: str | None, port: int) -> list[socket.socket]:
    """Return listening sockets that share a port; the one for 127.0.0.1 is first.

    Args:
        host: a name or address; None or `localhost` for 127.0.0.1 and, where the system has it, ::1.
        port: 0 takes a free one.

    Raises:
        SettingsError: the address cannot be used; says why, and what to do.
    """
    if host is not None and host.lower() != "localhost":
        return [_listen_or_explain(host, port)]
    for last in (*[False] * (TRIES - 1 if port == 0 else 0), True):
        first = _listen_or_explain(LOOPBACK[0], port)
        taken = first.getsockname()[1]
        try:
            return [first, listen(LOOPBACK[1], taken)]
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:
                return [first]
            if last:
                _warn(LOOPBACK[1], taken, error)
                return [first]
            first.close()
    raise AssertionError("the last try returns")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: a name or address.
        port: 0 takes a free one.

    Raises:
        OSError: the address cannot be used.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it; without, small answers wait up to 44 ms.
        sockets.tune(sock)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def why_not(host: str | None, port: int) -> str | None:
    """Return why nothing can listen at an address, as a sentence; None if something can."""
    try:
        for sock in listen_at(host, port):
            sock.close()
    except SettingsError as error:
        return str(error)
    return None


def _listen_or_explain(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        place = _place(host, port)
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{place} is in use by {port_holder(host, port)}. Stop it, or choose another port with --port."
            ) from error
        raise SettingsError(f"{place}: {error.strerror}. Choose another with --port or --host.") from error


def _warn(host: str, port: int, error: OSError) -> None:
    place = _place(host, port)
    why = (
        f"is in use by {port_holder(host, port)}" if error.errno == errno.EADDRINUSE else str(error.strerror)
    )
    log.warning(
        "%s %s, so clients that connect to localhost may not reach this hub. Use http://%s:%d, or choose another port "
        "with --port.",
        place,
        why,
        LOOPBACK[0],
        port,
    )


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
