"""What the views declare about their endpoints: one table, filled by `@endpoint` (`streaming_hub.web.endpoint`).

It gives the routes, the scope that is checked, `/openapi.json`, the requests that bypass Flask, the paths that the
origin `null` never reaches, and those that any Host may name. It imports nothing heavy: every request looks things up
here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from streaming_hub.access import JOIN, OPERATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streaming_hub.errors import HubError
    from streaming_hub.web.about import About

Method = Literal["GET", "POST", "PATCH", "DELETE"]
Key = tuple[str, str]
"""A method and a path as Flask's route has it."""
GUARDED_SCOPES: Final = frozenset({OPERATE, JOIN})
"""What controls the hub or hands out tokens."""
API: Final = "/api/"


class Declaration(NamedTuple):
    """What one view declares.

    Attributes:
        blueprint: the name of the blueprint that it belongs to.
        scope: what the caller needs; None if anyone may call it.
        signed: whether LiveKit's signature is the credential.
        serve: answers without Flask (`streaming_hub.web.shortcut`); None if only Flask does.
        errors: what it refuses, beside what follows from scope, method and body.
        about: returns its description.
    """

    blueprint: str
    scope: str | None = None
    signed: bool = False
    serve: Callable[..., Any] | None = None
    errors: tuple[type[HubError], ...] = ()
    about: Callable[[], About] | None = None


DECLARED: Final[dict[Key, Declaration]] = {}
"""Filled when `streaming_hub.web` is imported."""


def declare(method: Method, path: str, declaration: Declaration) -> None:
    """Add an endpoint.

    Raises:
        ValueError: the same method and path were declared before.
    """
    if (method, path) in DECLARED:
        raise ValueError(f"{method} {path} is declared twice: give the second view another path.")
    DECLARED[method, path] = declaration
    guarded.cache_clear()
    _signed.cache_clear()


def arrange(blueprints: Sequence[str]) -> None:
    """Sort the endpoints by their blueprints: as `/docs` lists them, within a group."""
    places = {name: place for place, name in enumerate(blueprints)}
    found = sorted(DECLARED.items(), key=lambda item: places[item[1].blueprint])
    DECLARED.clear()
    DECLARED.update(found)


def declaration_of(method: str, path: str) -> Declaration:
    """Return what the view of an endpoint declares; a HEAD has that of its GET.

    Some clients send `post`; Flask routes a method in any case, so it is looked up in any case.

    Raises:
        KeyError: there is no such endpoint.
    """
    method = method.upper()
    return DECLARED["GET" if method == "HEAD" else method, path]


def scope_of(method: str, path: str) -> str:
    """Return the scope that an endpoint needs.

    Raises:
        LookupError: there is no such endpoint, or it needs none.
    """
    scope = declaration_of(method, path).scope
    if scope is None:
        raise LookupError(f"{method} {path} declares no scope: give its @endpoint one.")
    return scope


def signed(path: str) -> bool:
    """Return whether LiveKit's signature is the credential at a path, whatever the method."""
    return path in _signed()


@cache
def _signed() -> frozenset[str]:
    return frozenset(path for (_, path), one in DECLARED.items() if one.signed)


@cache
def guarded() -> re.Pattern[str]:
    """Return how the paths under `/api/` begin that need `operate` or hand out tokens.

    By path, whatever the method: a preflight names a path, and flask-cors chooses by it. A name in a path may hold
    anything, also a line feed.
    """
    paths = sorted(
        path for (_, path), one in DECLARED.items() if one.scope in GUARDED_SCOPES and path.startswith(API)
    )
    patterns = (".+".join(map(re.escape, re.split(r"<[^>]+>", path))) for path in paths)
    return re.compile(f"(?:{'|'.join(patterns)})" if paths else r"(?!)", re.DOTALL)


def operates(path: str) -> bool:
    """Return whether a path needs `operate`, or hands out tokens: the origin `null` is never listed there."""
    return guarded().match(path) is not None
