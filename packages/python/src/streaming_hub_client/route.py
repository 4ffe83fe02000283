"""The route to the hub: proxies and certificate authorities, configured as for `requests`.

Reads the environment when called, and on Windows and macOS also the system's proxy settings. The poster calls it once,
whereas a session would read the environment for every POST, which takes an eighth of the POST's CPU.
"""

from __future__ import annotations

import ipaddress
import os
from typing import NamedTuple
from urllib.parse import urlsplit

import requests


class Route(NamedTuple):
    """How requests are sent.

    Attributes:
        proxies: Proxy URLs by scheme, as `requests` takes them; empty for a direct connection.
        verify: Path of a file or directory with certificate authorities; True to use those of `certifi`.
    """

    proxies: dict[str, str]
    verify: bool | str


def route_to(url: str) -> Route:
    """Return the proxies and certificate authorities for a URL.

    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE work as for `requests`. If
    neither bundle is set, SSL_CERT_FILE is used, as by OpenSSL and httpx. A loopback address never goes through a
    proxy, since on the proxy it would mean a different machine.

    Args:
        url: Where requests go.
    """
    with requests.Session() as session:
        found = session.merge_environment_settings(url, {}, None, None, None)
    verify = found["verify"]
    if not isinstance(verify, str):
        verify = os.environ.get("SSL_CERT_FILE") or True
    return Route({} if is_loopback(url) else dict(found["proxies"]), verify)


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine: `localhost`, a name below it, or a loopback address."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
