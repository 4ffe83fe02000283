"""`publish`: retries that store nothing twice, and answers that are not the hub's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from streaming_hub_client import Refused, publish

from tests.kit.fake_hub import FakeHub, Reply
from tests.kit.hub import Hub

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "first", [Reply(503, b"{}"), Reply(502, b"<html>"), Reply(429), Reply(cut=True, stores=True)]
)
def test_retries_keep_the_event_id(first: Reply) -> None:
    with FakeHub() as hub:
        hub.script.extend([first, first])
        publish(hub.url, [{"type": "note", "n": 1}, {"type": "note", "n": 2, "event_id": "mine"}])
        assert len(hub.requests) == 3
        ids = [[event["event_id"] for event in request.events] for request in hub.requests]
        assert ids[0] == ids[1] == ids[2]
        assert ids[0][0]
        assert ids[0][1] == "mine"
        assert [event["n"] for event in hub.events] == [1, 2]


@pytest.mark.parametrize(
    "body", [b'{"ok":true}', b'{"status":"ok"}', b'{"status":"ok","ids":["e-1"]}', b"[]", b""]
)
def test_it_takes_no_strangers_word(body: bytes) -> None:
    with FakeHub() as hub:
        hub.default = Reply(body=body, stores=False)
        with pytest.raises(Refused):
            publish(hub.url, [{"type": "note"}, {"type": "note"}])
        with pytest.raises(Refused):
            publish(hub.url, {"type": "note"})


def test_it_shows_no_strangers_words_as_the_hubs() -> None:
    with FakeHub() as hub:
        hub.default = Reply(404, b'{"detail":"Not Found"}', stores=False)
        with pytest.raises(Refused, match=r"404: the server at .* is not a hub"):
            publish(hub.url, {"type": "note"})
        hub.default = Reply(302, b"", {"Location": "https://login.example/"}, stores=False)
        with pytest.raises(Refused, match=r"not a hub; it redirects to https://login\.example/"):
            publish(hub.url, {"type": "note"})


@pytest.mark.parametrize("event_id", [None, ""])
def test_an_event_without_a_name_gets_one(event_id: str | None) -> None:
    with FakeHub() as hub:
        publish(hub.url, [{"type": "note", "event_id": event_id}] * 2)
        assert len({event["event_id"] for event in hub.events} - {None, ""}) == 2


def test_it_gives_up_in_time() -> None:
    with FakeHub() as hub:
        hub.default = Reply(503, b"{}", {"Retry-After": "60"})
        with pytest.raises(Refused) as refused:
            publish(hub.url, {"type": "note"}, timeout=5)
        assert refused.value.status == 503
        assert len(hub.requests) == 1
    with pytest.raises(requests.ConnectionError):
        publish(hub.url, {"type": "note"}, timeout=0.5)


def test_a_real_hub_takes_an_event_and_says_what_is_wrong_with_another(tmp_path: Path) -> None:
    event = {"type": "named", "room": "p"}
    with Hub(tmp_path, STREAM_HISTORY="memory://") as hub:
        assert publish(hub.url, event)["status"] == "ok"
        assert event == {"type": "named", "room": "p"}
        with pytest.raises(Refused, match="type") as refused:
            publish(hub.url, {"type": 7})
    assert refused.value.status in (400, 422)
