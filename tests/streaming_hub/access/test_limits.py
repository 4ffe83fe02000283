"""How often: by credential or by address, and how many streams."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.access import ANONYMOUS, Grant
from streaming_hub.access.address import Client
from streaming_hub.access.limits import (
    OFF_LOOPBACK,
    STREAMS_PER_ADDRESS,
    Action,
    Limits,
)
from streaming_hub.errors import TooMany
from streaming_hub.events.views import VIEWER
from streaming_hub.settings import RateLimit, Settings
from streaming_hub.web.current import services_of
from tests.kit.callers import (
    FAR,
    KEYS,
    OPERATOR_KEY,
    PUBLISH_KEY,
    SUBSCRIBE_KEY,
    ask,
    bearer,
    hub,
)
from tests.kit.sse import read

if TYPE_CHECKING:
    from flask import Flask

NEAR = "127.0.0.1"
EVENT = {"type": "x"}


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that a test does happen within one window."""
    now = time.time()
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: now)


def post(app: Flask, key: str | None = None, peer: str = NEAR) -> Any:
    return ask(
        app,
        "POST",
        "/api/agent/data",
        peer=peer,
        headers=bearer(key) if key else {},
        json=EVENT,
    )


def accepted(app: Flask, times: int, *arguments: Any) -> int:
    return sum(post(app, *arguments).status_code == 200 for _ in range(times))


def test_a_rate_limit_limits_publishing_and_says_when_to_retry() -> None:
    app = hub(rate_limit=RateLimit(3, 60))
    assert accepted(app, 5) == 3
    refused = post(app)
    assert refused.status_code == 429
    assert refused.mimetype == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json["status"] == 429
    assert services_of(app).history.bounds.head == 3


def test_each_credential_and_each_address_has_a_limit_of_its_own() -> None:
    app = hub(**KEYS, rate_limit=RateLimit(2, 1))
    assert accepted(app, 3, PUBLISH_KEY) == 2
    assert accepted(app, 3, "second-publish-secret") == 2
    # One credential from several addresses is one.
    assert accepted(app, 3, PUBLISH_KEY, FAR) == 0
    by_address = hub(allow_open=True, rate_limit=RateLimit(2, 1))
    assert accepted(by_address, 3, None, FAR) == 2
    assert accepted(by_address, 3, None, "198.51.100.1") == 2
    assert accepted(by_address, 3, None, "2001:db8::1") == 2
    assert accepted(by_address, 3, None, "2001:db8::2") == 0


def test_streams_events_and_health_are_exempt_from_it() -> None:
    app = hub(rate_limit=RateLimit(1, 60))
    assert accepted(app, 2) == 1
    for path in ("/api/health", "/api/events", "/api/stream"):
        for _ in range(3):
            answer = ask(app, "GET", path)
            assert answer.status_code == 200
            answer.close()


def test_unset_it_is_no_limit_here_and_100_a_second_elsewhere() -> None:
    app = hub(**KEYS)
    assert accepted(app, 110, PUBLISH_KEY) == 110
    assert accepted(app, 110, PUBLISH_KEY, FAR) == 100


@pytest.mark.parametrize(
    ("action", "method", "path", "key"),
    [
        (Action.START, "POST", "/api/agent/start", OPERATOR_KEY),
        (Action.TOKEN, "POST", "/api/token", OPERATOR_KEY),
        (Action.TICKET, "POST", "/api/stream/ticket", SUBSCRIBE_KEY),
        (Action.CONNECT, "GET", "/api/stream", SUBSCRIBE_KEY),
        (Action.WRONG_CREDENTIAL, "GET", "/api/events", "wrong"),
        (Action.WRONG_CREDENTIAL, "GET", "/api/stream?ticket=wrong", ""),
    ],
)
def test_other_actions_are_limited_off_this_machine(action: Action, method: str, path: str, key: str) -> None:
    app = hub(**KEYS)
    limits = services_of(app).limits
    far = Client(FAR, loopback=False)
    by_address = action in (Action.CONNECT, Action.WRONG_CREDENTIAL)
    grant = None if by_address else services_of(app).authenticator.authenticate(key, time.time())
    for _ in range(OFF_LOOPBACK[action].count):
        limits.check(action, far, grant)
    body = {"json": {"mode": "wrong"}} if action is Action.START else {}
    refused = ask(app, method, path, peer=FAR, headers=bearer(key) if key else {}, **body)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    near = ask(app, method, path, headers=bearer(key) if key else {}, **body)
    assert near.status_code != 429
    near.close()
    with pytest.raises(TooMany):
        limits.check(action, far, grant)


def test_a_right_key_still_works_where_wrong_ones_were_tried() -> None:
    app = hub(**KEYS)
    for _ in range(70):
        last = ask(app, "GET", "/api/events", peer=FAR, headers=bearer("guess"))
    assert last.status_code == 429
    assert ask(app, "GET", "/api/events", peer=FAR, headers=bearer(SUBSCRIBE_KEY)).status_code == 200


def test_without_a_limit_the_limiter_is_not_asked() -> None:
    app = hub()
    services_of(app).limits._limiter = None  # type: ignore[assignment] # using it fails
    limits = services_of(app).limits
    for action in Action:
        limits.check(action, Client(NEAR, loopback=True))


def test_a_grant_without_a_credential_counts_by_address() -> None:
    app = hub()
    limits = services_of(app).limits
    nobody = Grant(ANONYMOUS, frozenset(), None, VIEWER, None)
    amount = OFF_LOOPBACK[Action.START].count
    for _ in range(amount):
        limits.check(Action.START, Client(FAR, loopback=False), nobody)
    limits.check(Action.START, Client("198.51.100.1", loopback=False), nobody)
    with pytest.raises(TooMany):
        limits.check(Action.START, Client(FAR, loopback=False), nobody)


# Streams


def open_streams(app: Flask, count: int, peer: str = NEAR, **headers: str) -> list[Any]:
    opened = []
    for _ in range(count):
        answer = ask(app, "GET", "/api/stream", peer=peer, headers=headers)
        if answer.status_code == 200:
            next(read(answer))
        opened.append(answer)
    return opened


def statuses(answers: list[Any]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_streams_of_one_address_are_limited_and_closing_one_frees_a_place() -> None:
    app = hub(**KEYS, max_clients_per_address=2)
    key = bearer(SUBSCRIBE_KEY)
    opened = open_streams(app, 3, FAR, **key)
    assert statuses(opened) == [200, 200, 429]
    assert int(opened[2].headers["Retry-After"]) >= 1
    assert statuses(open_streams(app, 1, "198.51.100.1", **key)) == [200]
    opened[0].close()
    assert statuses(open_streams(app, 2, FAR, **key)) == [200, 429]


def test_a_browser_over_the_limit_is_asked_to_reconnect_later() -> None:
    for settings in ({"max_clients_per_address": 1}, {"max_clients": 1}):
        app = hub(**settings)
        opened = open_streams(app, 1)
        answer = ask(app, "GET", "/api/stream", headers={"Accept": "text/event-stream"})
        assert answer.status_code == 200
        retry = next(line for line in answer.text.split("\n") if line.startswith("retry: "))
        assert 1000 <= int(retry[7:]) <= 600_000
        assert '"reason":"too_many_clients"' in answer.text
        other = ask(app, "GET", "/api/stream")
        assert other.status_code in (429, 503)
        assert int(other.headers["Retry-After"]) >= 1
        opened[0].close()


def test_unset_one_address_holds_any_number_here_and_a_hundred_elsewhere() -> None:
    limits = Limits(Settings())
    assert limits.streams_of_one(Client(NEAR, loopback=True)) is None
    assert limits.streams_of_one(Client(FAR, loopback=False)) == STREAMS_PER_ADDRESS == 100
    assert Limits(Settings(max_clients_per_address=7)).streams_of_one(Client(NEAR, loopback=True)) == 7


def test_closed_streams_leave_no_address_behind() -> None:
    app = hub()
    for answer in open_streams(app, 3):
        answer.close()
    assert dict(services_of(app).hub.audience.addresses) == {}
