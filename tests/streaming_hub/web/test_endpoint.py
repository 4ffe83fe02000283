"""What one declaration beside a view does. Covers streaming_hub.web.endpoint and streaming_hub.web.declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response

from streaming_hub.access import OPERATE, PUBLISH, SUBSCRIBE
from streaming_hub.web import answers, callers, declared
from streaming_hub.web.current import services, services_of
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = {"subscribe_keys": ("s-key",), "operator_keys": ("o-key",), "publish_keys": ("p-key",)}


@pytest.fixture(autouse=True)
def only_here() -> Iterator[None]:
    """Take what a test declares out again."""
    kept = dict(declared.DECLARED)
    yield
    declared.DECLARED.clear()
    declared.DECLARED.update(kept)
    declared.guarded.cache_clear()


def with_view(make_app: Callable[..., Flask], scope: str | None, path: str = "/api/throwaway") -> Flask:
    blueprint = Blueprint("throwaway", __name__)

    @endpoint(blueprint, "GET", path, scope=scope)
    def view() -> Response:
        return answers.json({"who": callers.grant().who if scope else None, "clients": len(services().hub)})

    app = make_app(**KEYS)
    app.register_blueprint(blueprint)
    return app


def test_the_view_runs_only_with_the_scope_and_finds_the_grant(make_app: Callable[..., Flask]) -> None:
    client = with_view(make_app, SUBSCRIBE).test_client()
    assert client.get("/api/throwaway").status_code == 401
    assert client.get("/api/throwaway", headers={"X-API-Key": "p-key"}).status_code == 403
    answer = client.get("/api/throwaway", headers={"X-API-Key": "s-key"})
    assert answer.status_code == 200
    assert answer.get_json()["who"].startswith("subscribe-key")


def test_without_a_scope_no_credential_is_needed(make_app: Callable[..., Flask]) -> None:
    assert with_view(make_app, None).test_client().get("/api/throwaway").status_code == 200


def test_what_needs_operate_is_kept_from_the_origin_null(make_app: Callable[..., Flask]) -> None:
    assert not declared.operates("/api/throwaway/a\nb/end")
    with_view(make_app, OPERATE, "/api/throwaway/<path:name>/end")
    assert declared.operates("/api/throwaway/a\nb/end")
    assert not declared.operates("/api/throwaway")
    assert not declared.operates("/metrics"), "no page of another origin reads it anyway"


def test_an_endpoint_is_declared_once() -> None:
    blueprint = Blueprint("twice", __name__)
    with pytest.raises(ValueError, match="GET /api/events is declared twice"):
        endpoint(blueprint, "GET", "/api/events")


def test_the_scope_of_a_request_that_bypasses_flask_comes_from_its_declaration() -> None:
    assert declared.scope_of("POST", "/api/agent/data") == PUBLISH
    assert declared.scope_of("HEAD", "/api/stream") == SUBSCRIBE
    with pytest.raises(LookupError, match="GET /api/health declares no scope"):
        declared.scope_of("GET", "/api/health")


def test_only_the_path_with_a_signature_is_exempt_from_the_check_of_the_host() -> None:
    assert {path for _, path in declared.DECLARED if declared.signed(path)} == {"/api/livekit/webhook"}


@pytest.mark.parametrize(
    "path", ["/api/sessions/a/events", "/api/sessions/a%2Fevents", "/api/sessions/a%2Fexport"]
)
def test_a_caller_is_authenticated_once(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    app = make_app(**KEYS)
    asked: list[object] = []
    authenticator = services_of(app).authenticator
    authenticate = authenticator.authenticate

    def count(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        return authenticate(*args, **kwargs)

    monkeypatch.setattr(authenticator, "authenticate", count)
    answer = app.test_client().get(
        path, headers={"X-API-Key": "s-key"}, environ_overrides={"REQUEST_URI": path}
    )
    assert "There is no archive" in answer.text
    assert len(asked) == 1


def test_a_request_may_pass_by_flask_only_where_its_view_says_so() -> None:
    found = {key for key, one in declared.DECLARED.items() if one.serve is not None}
    assert found == {("POST", "/api/agent/data"), ("GET", "/api/stream")}
