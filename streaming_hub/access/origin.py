"""Whether a browser's request is allowed by its Host, Origin and Sec-Fetch-Site.

Pure. These rules keep other sites in the same browser from using a hub that trusts every client on its machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from streaming_hub.access.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Collection

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NULL_ORIGIN: Final = "null"
"""The origin of a page from disk, and of any site's sandboxed frame."""

_LOCAL: Final = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_LOCAL_HOST: Final = re.compile(_LOCAL + r"(?::[0-9]{0,5})?", re.IGNORECASE | re.ASCII)
_ADDRESS: Final = re.compile(
    r"(?:127(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?", re.IGNORECASE | re.ASCII
)
_LOCAL_ORIGIN: Final = re.compile(rf"https?://{_LOCAL}(?::[0-9]{{1,5}})?", re.IGNORECASE | re.ASCII)
_SINGLE_NAME: Final = re.compile(r"[a-z0-9_-]+(?::[0-9]{0,5})?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORT: Final = re.compile(r"^(http://[^/]*):80$|^(https://[^/]*):443$")


def host_allowed(host: str | None, *, any_open: bool) -> bool:
    """Return whether the Host header is one of this machine's names (against DNS rebinding).

    Args:
        host: the header as sent; None if an HTTP/1.0 client sent none. Browsers always send it.
        any_open: whether any scope is open. If every scope has keys, a foreign name gains nothing.
    """
    if not any_open or host is None or _LOCAL_HOST.fullmatch(host):
        return True
    address = parse_address(host) if _ADDRESS.fullmatch(host) else None
    return address is not None and address.is_loopback


def host_needs_no_trust(host: str, listed: Collection[str] | None) -> bool:
    """Return whether a Host can only mean this server, when STREAM_ALLOW_OPEN admits other machines.

    A site that points its own name here (DNS rebinding) needs a name with a dot, so an address or a single label cannot
    be a site's. The operator allows other names by listing their origins.

    Args:
        host: the header as sent.
        listed: STREAM_CORS_ORIGINS.
    """
    if parse_address(host) is not None or _SINGLE_NAME.fullmatch(host):
        return True
    return any(same_origin(_plain(entry), host.lower()) for entry in listed or ())


def origin_listed(origin: str, listed: Collection[str] | None, *, all_open: bool, operate: bool) -> bool:
    """Return whether an origin may read responses (`Access-Control-Allow-Origin`) and send requests.

    Args:
        origin: the Origin header as sent.
        listed: STREAM_CORS_ORIGINS; None for the default, which is localhost on any port, and `null`.
        all_open: whether no scope has keys. Otherwise `null` is never allowed, even if it is listed.
        operate: whether the endpoint needs `operate` or hands out tokens. `null` is never allowed there.
    """
    if origin == NULL_ORIGIN:
        return all_open and not operate and (listed is None or NULL_ORIGIN in listed)
    if listed is None:
        return _LOCAL_ORIGIN.fullmatch(origin) is not None
    return _plain(origin) in {_plain(entry) for entry in listed}


def listed_patterns(
    listed: Collection[str] | None, *, all_open: bool, operate: bool
) -> list[re.Pattern[str]]:
    """Return the origins that `origin_listed` allows, as patterns for a library."""
    entries = [_LOCAL_ORIGIN.pattern, NULL_ORIGIN] if listed is None else [_as_pattern(e) for e in listed]
    if not all_open or operate:
        entries = [entry for entry in entries if entry != NULL_ORIGIN]
    # Libraries match only the start. Without an end, `http://localhost.example.com` would match.
    return [re.compile(rf"(?:{entry})\Z", re.IGNORECASE | re.ASCII) for entry in entries]


def same_origin(origin: str, host: str | None) -> bool:
    """Return whether a page of this server sent the request.

    The scheme is not compared, because the server does not know it behind a proxy that terminates TLS.
    """
    scheme, _, authority = origin.lower().partition("://")
    return scheme in ("http", "https") and bool(authority) and authority == (host or "").lower()


def request_allowed(
    method: str,
    origin: str | None,
    sec_fetch_site: str | None,
    host: str | None,
    listed: Collection[str] | None,
    *,
    all_open: bool,
    operate: bool,
) -> bool:
    """Return whether a request may change anything.

    Reading is always allowed, because the browser withholds the response if the origin is not listed. Sec-Fetch-Site
    is checked only if there is no Origin. A client that sends neither is not a browser.
    """
    if method.upper() in SAFE_METHODS:
        return True
    if origin is None:
        return sec_fetch_site is None or sec_fetch_site.strip().lower() in ("same-origin", "none")
    return same_origin(origin, host) or origin_listed(origin, listed, all_open=all_open, operate=operate)


def _as_pattern(entry: str) -> str:
    if entry == NULL_ORIGIN:
        return NULL_ORIGIN
    plain = _plain(entry)
    has_port = re.search(r":[0-9]+$", plain) is not None
    default = "" if has_port else "(?::443)?" if plain.startswith("https") else "(?::80)?"
    return re.escape(plain) + default


def _plain(origin: str) -> str:
    """Format an origin as browsers do: in lower case, without the scheme's default port."""
    return _DEFAULT_PORT.sub(r"\1\2", origin.lower())
