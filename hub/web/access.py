"""Who sends a request, and whether they may: Host, Origin, credential, scope. Rules are in hub.auth and hub.origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import g, request

from hub.address import parse_address
from hub.auth import OPERATOR, Grant, credential_of
from hub.errors import Forbidden, Misdirected, SettingsError
from hub.interest import Interest
from hub.origin import host_allowed, request_allowed
from hub.web.services import services

if TYPE_CHECKING:
    from flask import Flask

    from hub.address import Client
    from hub.settings import Settings

OPERATE_PREFIXES = ("/api/agent/start", "/api/agent/stop", "/api/sessions", "/api/rooms", "/api/token")


def init_app(app: Flask) -> None:
    """Check Host and Origin of every request."""
    app.before_request(check_browser_rules)


def check_browser_rules() -> None:
    """Refuse what another site's page may have sent.

    Raises:
        Misdirected: the Host is not this machine's while a scope is open (DNS rebinding).
        Forbidden: a page of an origin that is not listed would change something.
    """
    parts = services()
    host = request.headers.get("Host")
    if not parts.settings.allow_open and not host_allowed(host, any_open=parts.authenticator.any_open):
        raise Misdirected(
            f"Host {host!r} is not this server's: while a scope is open it answers to localhost, 127.0.0.1 and [::1]."
        )
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    if not request_allowed(
        request.method,
        origin,
        request.headers.get("Sec-Fetch-Site"),
        host,
        parts.settings.cors_origins,
        all_open=parts.authenticator.all_open,
        operate=request.path.startswith(OPERATE_PREFIXES),
    ):
        raise Forbidden(f"The origin {origin!r} is not listed in STREAM_CORS_ORIGINS.")


def client() -> Client:
    """Return who sent this request, as far as proxies can be believed."""
    if "client" not in g:
        g.client = services().proxies.client(request.remote_addr, request.headers.items())
    found: Client = g.client
    return found


def caller() -> Grant:
    """Return what the sender of this request may do.

    Raises:
        Unauthorized: a credential that is not known.
    """
    parts = services()
    credential = credential_of(request.headers.get("Authorization"), request.headers.get("X-API-Key"))
    open_access = parts.settings.allow_open or client().loopback
    return parts.authenticator.authenticate(credential, parts.clock(), open_access=open_access)


def require(scope: str, room: str | None = None) -> Grant:
    """Return the sender's grant, when it holds a scope.

    Raises:
        Unauthorized: no credential.
        Forbidden: the scope or the room is not the credential's.
    """
    grant = caller()
    services().authenticator.require(grant, scope, room)
    return grant


def interest_of(grant: Grant, query: Interest) -> Interest:
    """Narrow what a reader asks for to what its grant shows."""
    return Interest(
        rooms=query.rooms,
        types=query.types,
        participants=query.participants,
        sessions=query.sessions,
        allowed_rooms=grant.rooms,
        operator=grant.view == OPERATOR,
    )


def refuse_open_off_loopback(settings: Settings, host: str) -> None:
    """Refuse to start where other machines could reach an open scope.

    Args:
        settings: the keys.
        host: where the server listens.

    Raises:
        SettingsError: names the settings that are missing.
    """
    if settings.allow_open or is_loopback(host) or settings.jwt_secret:
        return
    keys = {
        "STREAM_PUBLISH_KEYS": settings.publish_keys,
        "STREAM_SUBSCRIBE_KEYS": settings.subscribe_keys,
        "STREAM_OPERATOR_KEYS": settings.operator_keys,
    }
    missing = [name for name, held in keys.items() if not held]
    if missing:
        raise SettingsError(
            f"The address {host} can be reached from other machines, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set. Set keys, or STREAM_ALLOW_OPEN=1 to let everybody in."
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine only."""
    address = parse_address(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"
