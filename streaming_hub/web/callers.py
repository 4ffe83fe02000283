"""The caller of a request and its rights: Host, Origin, credential, scope. `streaming_hub.access` has the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import request

from streaming_hub.access import (
    ANONYMOUS,
    Expired,
    Grant,
    audit,
    credential_of,
)
from streaming_hub.access.address import TRACES
from streaming_hub.access.limits import Action
from streaming_hub.access.origin import (
    host_allowed,
    host_needs_no_trust,
    request_allowed,
)
from streaming_hub.errors import (
    Forbidden,
    HubError,
    Misdirected,
    Unauthorized,
)
from streaming_hub.events.interest import Interest
from streaming_hub.events.views import OPERATOR
from streaming_hub.server.environ import field_key
from streaming_hub.web.current import services
from streaming_hub.web.declared import operates, scope_of, signed

if TYPE_CHECKING:
    from flask import Flask

    from streaming_hub.access.address import Client
    from streaming_hub.services import Services
    from streaming_hub.settings import Settings

Environ = dict[str, Any]
"""A WSGI environ (PEP 3333)."""

_CLIENT = "hub.client"
_WHO = "hub.who"
_GRANT = "hub.grant"
_TRACES = tuple(map(field_key, TRACES))
AUDITED = frozenset({401, 403, 421, 429})
"""Refusals about the caller or its rate; others are mistakes in the request."""


def init_app(app: Flask) -> None:
    """Check Host and Origin of every request."""
    app.before_request(lambda: check_browser_rules(services(), request.environ))


def check_browser_rules(parts: Services, environ: Environ) -> None:
    """Refuse requests that another site's page may have sent.

    Raises:
        Misdirected: the Host is not this machine's while a scope is open (DNS rebinding).
        Forbidden: a page of an origin that is not listed would change something.
    """
    host = environ.get("HTTP_HOST")
    # A signature is a credential of its own, and livekit-server may know this machine by any name.
    if not signed(path_of(environ)) and not host_allowed(host, any_open=parts.authenticator.any_open):
        _check_foreign_host(parts.settings, host or "")
    origin = environ.get("HTTP_ORIGIN")
    if not request_allowed(
        environ["REQUEST_METHOD"],
        origin,
        environ.get("HTTP_SEC_FETCH_SITE"),
        host,
        parts.settings.cors_origins,
        all_open=parts.authenticator.all_open,
        operate=operates(path_of(environ)),
    ):
        raise Forbidden(f"The origin {(origin or '')[:100]!r} is not listed in STREAM_CORS_ORIGINS.")


def path_of(environ: Environ) -> str:
    """Return a request's path as Flask routes it: slashes at its start count as one."""
    return "/" + str(environ["PATH_INFO"]).lstrip("/")


def _check_foreign_host(settings: Settings, host: str) -> None:
    if not settings.allow_open:
        raise Misdirected(
            f"Host {host[:100]!r} is not this server's: while a scope is open, it responds only to localhost, "
            "127.0.0.1 and [::1]."
        )
    if not host_needs_no_trust(host, settings.cors_origins):
        raise Misdirected(
            f"Host {host[:100]!r} may be another site's name for this server: use its address, or list the origin "
            "that has this name in STREAM_CORS_ORIGINS."
        )


def client_of(parts: Services, environ: Environ) -> Client:
    """Return the client of a request, as far as proxies are trusted."""
    found: Client | None = environ.get(_CLIENT)
    if found is None:
        headers = [
            (name[5:].replace("_", "-"), str(environ[name])) for name in environ if name.startswith(_TRACES)
        ]
        found = environ[_CLIENT] = parts.proxies.client(environ.get("REMOTE_ADDR"), headers)
    return found


def require(parts: Services, environ: Environ, scope: str) -> Grant:
    """Return a caller's grant, if it has a scope.

    Raises:
        Unauthorized: no credential, or an unknown one.
        Forbidden: the scope is not the credential's.
    """
    client = client_of(parts, environ)
    try:
        credential = credential_of(environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_API_KEY"))
        open_access = parts.settings.allow_open or client.loopback
        grant = parts.authenticator.authenticate(credential, parts.clock(), open_access=open_access)
    except Unauthorized:
        # Stops floods, and shows them in the audit. It does not stop guessing: the next guess is checked, too, since
        # the holder of the right key may share the address. Only a key's length protects it.
        parts.limits.check(Action.WRONG_CREDENTIAL, client)
        raise
    environ[_WHO] = grant.who
    parts.authenticator.require(grant, scope)
    environ[_GRANT] = grant
    return grant


def admit(parts: Services, environ: Environ) -> Grant:
    """Return a caller's grant, if it has the scope that the endpoint declares.

    Raises:
        Unauthorized, Forbidden: as `require`.
    """
    return require(parts, environ, scope_of(environ["REQUEST_METHOD"], path_of(environ)))


def reader_of(parts: Services, environ: Environ, ticket: str | None) -> Grant | Expired:
    """Return what a caller may read: by its ticket if it has one, else by what `admit` returns.

    Raises:
        Unauthorized: not a ticket of this hub, or no credential.
        Forbidden: the credential is not one to read with.
    """
    if ticket is None:
        return admit(parts, environ)
    try:
        found = parts.authenticator.open_ticket(ticket, parts.clock())
    except Unauthorized:
        parts.limits.check(Action.WRONG_CREDENTIAL, client_of(parts, environ))
        raise
    environ[_WHO] = found.who
    return found


def grant() -> Grant:
    """Return what the caller of the current request may do; `@endpoint` has checked the scope."""
    found: Grant = request.environ[_GRANT]
    return found


def limit(action: Action, grant: Grant | None = None) -> None:
    """Count an action of the current request's caller.

    Args:
        action: what it is.
        grant: counted by; the address where there is none.

    Raises:
        TooMany: the limit is reached.
    """
    parts = services()
    parts.limits.check(action, client_of(parts, request.environ), grant)


def note_of(parts: Services, environ: Environ, action: str, **what: Any) -> None:
    """Write an action to the audit."""
    audit.note(action, environ.get(_WHO, ANONYMOUS), client_of(parts, environ).address, **what)


def note(action: str, **what: Any) -> None:
    """Do as `note_of` for the current request."""
    note_of(services(), request.environ, action, **what)


def note_refusal_of(parts: Services, environ: Environ, error: HubError, route: str | None) -> None:
    """Count a refusal, and write it to the audit if it is about the caller; of a flood, a few lines a second.

    Args:
        parts: the hub's services.
        environ: the request's.
        error: what the caller gets.
        route: the path as in the route; the path that was sent may contain a misplaced secret.
    """
    parts.refusals[error.status] += 1
    if error.status not in AUDITED:
        return
    passes, left_out = parts.refusals_logged.admit()
    if passes:
        scope = error.extra.get("scope")
        what = {"status": error.status, "route": route, "scope": scope, "left_out": left_out or None}
        note_of(parts, environ, "refuse", **what)


def note_refusal(error: HubError) -> None:
    """Do as `note_refusal_of` for the current request."""
    rule = request.url_rule
    note_refusal_of(services(), request.environ, error, None if rule is None else rule.rule)


def interest_of(grant: Grant, query: Interest) -> Interest:
    """Narrow a reader's filter to what its grant allows."""
    return Interest(
        rooms=query.rooms,
        types=query.types,
        participants=query.participants,
        sessions=query.sessions,
        allowed_rooms=grant.rooms,
        operator=grant.view == OPERATOR,
    )
