"""The tree of errors: it is as its docstring says, and each error has its response."""

from __future__ import annotations

import re

import pytest

from streaming_hub import errors


def tree() -> list[type[errors.HubError]]:
    found: list[type[errors.HubError]] = []
    waiting: list[type[errors.HubError]] = [errors.HubError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not errors.HubError and kind.__module__ == errors.__name__:
            found.append(kind)
    return found


def test_the_docstring_draws_the_tree() -> None:
    drawn = dict(re.findall(r"^ {6}(\w+) +(\d{3})\b", errors.__doc__ or "", flags=re.MULTILINE))
    assert drawn == {kind.__name__: str(kind.status) for kind in tree()}


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_each_has_a_status_for_the_client_and_a_title_of_its_own(kind: type[errors.HubError]) -> None:
    assert 400 <= kind.status < 600
    assert kind.status != 500
    assert kind.title not in {other.title for other in tree() if other is not kind}


def test_detail_and_extra_members_are_kept() -> None:
    error = errors.InvalidEvent("type: 7: expected a string.", field="type")
    assert (str(error), error.detail, error.extra) == ("type: 7: expected a string.",) * 2 + (
        {"field": "type"},
    )


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.TooMany("slow down", retry_after=7), {"Retry-After": "7"}),
        (errors.Unavailable("full", retry_after=9), {"Retry-After": "9"}),
        (errors.BadRequest("no"), {}),
    ],
)
def test_headers_that_belong_to_an_error(error: errors.HubError, headers: dict[str, str]) -> None:
    assert error.headers() == headers


def test_refusals_challenge() -> None:
    assert errors.Unauthorized("who?").headers()["WWW-Authenticate"].startswith("Bearer")
    assert "insufficient_scope" in errors.Forbidden("not you").headers()["WWW-Authenticate"]
