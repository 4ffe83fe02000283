"""Which URLs and addresses webhooks may be sent to.

Pure. A URL is checked when an endpoint is created. `sender` checks each address it connects to, because a name may
resolve differently later.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SHARED: Final = (ipaddress.ip_network("100.64.0.0/10"),)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b:1::/48",  # NAT64 for local use (RFC 8215)
        "fec0::/10",  # site-local (RFC 3879)
        "3fff::/20",  # documentation (RFC 9637)
        "192.0.0.0/24",  # protocol assignments (RFC 6890); some clouds serve metadata here
        "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
        "168.63.129.16/32",  # Azure's platform, from every virtual machine in it
    )
)
"""What `ipaddress` considers global, in some version of Python."""
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
"""Of a host's name, as resolvers take it; `_` is not allowed in host names, but in use."""
_MOST_NAME: Final = 253


class Forbidden(ValueError):
    """A webhook may not be sent there. The message says why."""


def reason(address: Address) -> str | None:
    """Return why an address is not public; None if it is."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = _ipv4_inside(address)
        if inside is not None:
            return reason(inside)
    applies = {
        "unspecified": address.is_unspecified,
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "shared (CGNAT)": any(address in network for network in _SHARED),
        "private": address.is_private or any(address in network for network in _LOCAL),
        "reserved": address.is_reserved or not address.is_global,
    }
    return next((name for name, true in applies.items() if true), None)


def check_address(address: Address, *, scheme: str, allow_private: bool) -> None:
    """Check an address before connecting to it.

    Raises:
        Forbidden: it is not public, or `http` would leave the private network.
    """
    why = reason(address)
    if why is not None and not allow_private:
        article = "an" if why.startswith("u") else "a"
        raise Forbidden(f"{address} is {article} {why} address; STREAM_WEBHOOK_ALLOW_PRIVATE=1 allows it")
    if why is None and scheme != "https":
        raise Forbidden(f"{address} is a public address, and http is not encrypted; use https")


def check_url(url: str, *, allow_private: bool) -> None:
    """Check what can be checked without resolving the host's name.

    Raises:
        Forbidden: see the module.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Forbidden(f"the URL cannot be read: {error}") from error
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        also = (
            " or http://"
            if allow_private
            else "; STREAM_WEBHOOK_ALLOW_PRIVATE=1 allows http:// to your own network"
        )
        raise Forbidden(f"the URL must begin with https://{also}")
    if "@" in parts.netloc:
        raise Forbidden("the URL must not contain credentials")
    if not host:
        raise Forbidden("the URL has no host")
    if port == 0:
        raise Forbidden("the URL has the port 0, at which nothing can listen")
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise Forbidden("the URL contains a space or a control character")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        if last.lower() == "localhost" and not allow_private:
            # RFC 6761, section 6.3; not every resolver knows it with a dot at the end, or below.
            raise Forbidden(
                f"{host} is a loopback address; STREAM_WEBHOOK_ALLOW_PRIVATE=1 allows it"
            ) from None
        # Resolvers accept 2130706433, 0177.0.0.1 and 0x7f.1 as addresses; no public name ends in a number.
        if last.isdigit() or last.startswith("0x"):
            raise Forbidden(f"{host} is neither a host name nor an address in the usual notation") from None
        if "[" in parts.netloc or not _is_name(host):
            raise Forbidden(f"{host[:100]!r} is not the name of a host") from None
        return
    check_address(address, scheme=parts.scheme, allow_private=allow_private)


def _is_name(host: str) -> bool:
    """Return whether a resolver could find this name (RFC 1035, section 2.3.4)."""
    try:
        name = host.removesuffix(".").encode("idna").decode()
    except UnicodeError:  # an empty label, or one over 63 characters
        return False
    return len(name) <= _MOST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _ipv4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
