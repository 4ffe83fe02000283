"""`@endpoint` beside a view: the one declaration of its route, scope, errors and description."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from flask import request

from streaming_hub.web import callers
from streaming_hub.web.current import services
from streaming_hub.web.declared import Declaration, Method, declare

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Blueprint, Response

    from streaming_hub.errors import HubError
    from streaming_hub.web.about import About
    from streaming_hub.web.answers import Plain

Arguments = ParamSpec("Arguments")


def endpoint(
    blueprint: Blueprint,
    method: Method,
    path: str,
    *,
    scope: str | None = None,
    signed: bool = False,
    serve: Callable[..., Plain] | None = None,
    errors: tuple[type[HubError], ...] = (),
    about: Callable[[], About] | None = None,
) -> Callable[[Callable[Arguments, Response]], Callable[Arguments, Response]]:
    """Declare a view as the endpoint of a method and a path.

    Args:
        blueprint: which it is registered with.
        method: in capitals; a GET answers HEAD, too.
        path: as Flask's routes are written.
        scope: what the caller needs: the view runs only with it, and finds the grant with `callers.grant()`.
        signed: whether LiveKit's signature is the credential, which the view checks.
        serve: answers the same without Flask. It and its view share a function, which calls `callers.admit`.
        errors: what it refuses, beside what follows from scope, method and body.
        about: returns the endpoint's description; called when a client asks for it.

    Raises:
        ValueError: the endpoint is declared twice.
    """
    declare(method, path, Declaration(blueprint.name, scope, signed, serve, errors, about))

    def decorate(view: Callable[Arguments, Response]) -> Callable[Arguments, Response]:
        @wraps(view)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
            if scope is not None and serve is None:
                callers.require(services(), request.environ, scope)
            return view(*args, **kwargs)

        # One view may stand for several paths. Flask takes no dot in the name of a rule.
        blueprint.add_url_rule(path, f"{method} {path}".replace(".", "_"), checked, methods=[method])
        return checked

    return decorate
