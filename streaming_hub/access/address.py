"""The client behind proxies: its address, and whether it is on this machine.

Pure. Behind a proxy on the same host every client would look like loopback, so a request with any trace of a proxy
that is not in STREAM_TRUSTED_PROXIES does not count as local. A proxy that leaves no trace cannot be detected;
docs/explanation/security.md describes how to configure a proxy.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from streaming_hub.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PROXY_HEADERS: Final = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
    }
)
_PROXY_PREFIX: Final = "x-forwarded"
TRACES: Final = (_PROXY_PREFIX, *_PROXY_HEADERS)
"""Prefixes of the headers that proxies add."""


class Client(msgspec.Struct, frozen=True):
    """Who sent a request.

    Attributes:
        address: the nearest address that can be trusted; empty if the server has none (a Unix socket).
        loopback: whether it is on this machine, so that open scopes apply and limits do not.
    """

    address: str
    loopback: bool

    @property
    def bucket(self) -> str:
        """The key that limits count by: the address, or for IPv6 its /64 network, all of which one host may use."""
        address = parse_address(self.address)
        if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
            return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
        return self.address


class TrustedProxies:
    """The proxies whose X-Forwarded-For is trusted.

    Args:
        entries: addresses or networks, as in STREAM_TRUSTED_PROXIES.

    Raises:
        SettingsError: an entry is neither; names it.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._networks = tuple(_network(entry) for entry in entries)

    def client(self, remote_addr: str | None, headers: Iterable[tuple[str, str]]) -> Client:
        """Return the client.

        Args:
            remote_addr: the peer of the connection.
            headers: the request's, as pairs in order. Only those with a prefix in `TRACES` are read.
        """
        traces = [(name.lower(), value) for name, value in headers if _is_trace(name.lower())]
        if not traces:
            return _without_proxy(remote_addr or "")
        peer = parse_address(remote_addr or "")
        if peer is None:
            return Client("", loopback=False)
        hops = [hop for name, value in traces if name == "x-forwarded-for" for hop in value.split(",")]
        if not hops or not self._trusts(peer):
            return Client(str(peer), loopback=False)
        return self._walk(peer, hops)

    def _walk(self, peer: Address, hops: list[str]) -> Client:
        """Walk back from the nearest hop while each is trusted; anything before an untrusted hop may be forged."""
        client = peer
        for hop in reversed(hops):
            if not self._trusts(client):
                break
            named = parse_address(hop)
            if named is None:
                return Client(str(client), loopback=False)
            client = named
        return Client(str(client), loopback=client.is_loopback)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Parse an address from a header, optionally with brackets, a port or a zone; None if it is not one."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def _without_proxy(remote_addr: str) -> Client:
    peer = parse_address(remote_addr)
    return Client("", loopback=False) if peer is None else Client(str(peer), loopback=peer.is_loopback)


def _is_trace(name: str) -> bool:
    return name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(entry.strip(), strict=False)
    except ValueError:
        raise SettingsError(
            f"STREAM_TRUSTED_PROXIES={entry!r}: expected addresses or networks like 10.0.0.0/8."
        ) from None
