"""Webhooks as their users see them: a real hub, its webhooks' process, real receivers.

Covers

    streaming_hub.outlets.webhooks.feed
    streaming_hub.outlets.webhooks.worker
    streaming_hub.web.api.webhook_requests
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from standardwebhooks import Webhook

from streaming_hub.errors import SettingsError
from streaming_hub.services import Services
from streaming_hub.settings import parse
from tests.kit.callers import JWT_SECRET, token
from tests.streaming_hub.outlets.webhooks.hub import LOCAL, WebhookHub, note, webhook_pid
from tests.streaming_hub.outlets.webhooks.receiving import Receiver, receiver
from tests.streaming_hub.server.wire import PATIENCE
from tests.streaming_hub.web.api.archiving import call, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

SECRET = "whsec_" + "QUJD" * 10


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookHub]:
    with WebhookHub(tmp_path_factory.mktemp("shared"), **LOCAL) as hub:
        yield hub
        hub.signal()
        assert hub.wait() == 0


@pytest.fixture
def hub(shared: WebhookHub) -> Iterator[WebhookHub]:
    """A hub that the tests share, without a webhook at first. It may still publish `error` events of earlier ones."""
    yield shared
    shared.delete_all()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookHub]:
    """A hub that tries nothing again within a test."""
    settings = LOCAL | {"STREAM_WEBHOOK_RETRIES": "600"}
    with WebhookHub(tmp_path_factory.mktemp("patient"), **settings) as hub:
        yield hub


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookHub]:
    """A hub that sends to public addresses only."""
    with WebhookHub(tmp_path_factory.mktemp("public")) as hub:
        yield hub


@pytest.fixture
def start(tmp_path: Path, hubs: list[WebhookHub]) -> Any:
    def begin(**settings: str) -> WebhookHub:
        hubs.append(WebhookHub(tmp_path, **(LOCAL | settings)))
        return hubs[-1].start()

    return begin


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def test_an_event_arrives_signed_as_the_standard_says(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(f"{hook.url}/in?x=1", types=["*"], rooms=["a"], description="CRM")
    assert (made["types"], made["view"], made["enabled"], made["missed"]) == (["*"], "operator", True, 0)
    (event_id,) = hub.publish({"type": "note", "room": "a", "timestamp": 1_795_430_000.1234, "text": "ü"})
    (got,) = hook.wait_for(1)
    assert got.path == "/in?x=1"
    assert got.headers["content-type"] == "application/json"
    body = got.verified_by(made["secret"])
    assert body["type"] == "note"
    assert body["timestamp"] == "2026-11-23T10:33:20.123Z"
    assert body["data"]["id"] == got.id == event_id
    assert (body["data"]["text"], body["data"]["room"]) == ("ü", "a")
    (delivery,) = hub.wait_for_states(made["id"], "delivered")
    eventually(lambda: hub.metric('hub_webhooks_deliveries_total{result="delivered"}') > 0, wanted=True)
    assert (delivery["event_id"], delivery["type"], delivery["room"]) == (event_id, "note", "a")
    (attempt,) = delivery["attempts"]
    assert (attempt["status"], attempt["answer"], attempt["error"]) == (200, "ok", None)
    assert attempt["duration"] > 0
    assert delivery["next_try"] is None


def test_the_secret_is_shown_once(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(hook.url)
    assert made["secret"].startswith("whsec_")
    for answer in (
        hub.ask("GET", ""),
        hub.ask("GET", f"/{made['id']}"),
        hub.ask("PATCH", f"/{made['id']}", {"description": "x"}),
    ):
        assert answer.status_code == 200
        assert made["secret"] not in answer.text
        assert '"secret"' not in answer.text


def test_default_types_and_filters(hub: WebhookHub, hook: Receiver) -> None:
    hub.create(f"{hook.url}/default")
    hub.create(f"{hook.url}/room", types=["note"], rooms=["b"])
    hub.create(f"{hook.url}/viewer", types=["*"], view="viewer")
    hub.create(f"{hook.url}/interims", types=["transcript"], interims=True)
    hub.publish(*call("one"), note("a"), note("b"), note(None))

    def seen() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for got in list(hook.got):
            data = got.event["data"]
            found.setdefault(got.path, set()).add(
                data["type"] + ("?" if data.get("is_final") is False else "") + str(data.get("number", ""))
            )
        return found

    found = eventually(
        seen, lambda seen: "session_report" in seen.get("/default", ()) and "note0" in seen.get("/viewer", ())
    )
    assert found["/default"] == {"session_started", "session_ended", "session_report", "error"}
    assert found["/room"] == {"note0"}
    assert found["/interims"] == {"transcript", "transcript?"}
    assert {"error", "session_report", "usage", "transcript?"} & found["/viewer"] == set()
    assert {"transcript", "session_started"} <= found["/viewer"]
    assert [got.event["data"]["room"] for got in hook.got if got.path == "/room"] == ["b"]


def test_a_failed_delivery_is_tried_again_and_its_room_waits_in_order(
    hub: WebhookHub, hook: Receiver
) -> None:
    hook.plan.extend([500, 302])
    made = hub.create(hook.url, types=["note"])
    ids = hub.publish(*(note("a", number) for number in range(4)))
    hook.wait_for(6)
    assert hook.ids == [ids[0]] * 2 + ids
    newest = hub.wait_for_states(made["id"], *["delivered"] * 4)
    assert [one["status"] for one in newest[3]["attempts"]] == [500, 302, 200]
    assert hub.one(made["id"])["health"]["success_rate"] == 1


def test_a_delivery_that_is_refused_fails_after_three_tries_and_the_room_continues(
    hub: WebhookHub, hook: Receiver
) -> None:
    hook.plan.extend([404, 404, 404])
    made = hub.create(hook.url, types=["note"])
    ids = hub.publish(note("a", 1), note("a", 2))
    found = hub.wait_for_states(made["id"], "delivered", "failed")
    assert hook.ids == [ids[0]] * 3 + [ids[1]]
    assert len(found[1]["attempts"]) == 3


def test_a_waiting_room_holds_up_no_other(patient: WebhookHub, hook: Receiver) -> None:
    def act(handler: Any, got: Any) -> None:
        handler.send_response(503 if got.event["data"].get("room") == "bad" else 200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    hook.act = act
    made = patient.create(hook.url, types=["note"])
    patient.publish(note("bad", 1), note("bad", 2), note("good", 3), note(None, 4))
    hook.wait_for(3)
    patient.wait_for_states(made["id"], "delivered", "delivered", "pending", "pending")
    assert sorted(got.event["data"]["number"] for got in hook.got) == [1, 3, 4]
    assert patient.one(made["id"])["health"]["next_try"] > time.time() + 300
    patient.delete_all()


def test_sixteen_requests_at_a_time(hub: WebhookHub, hook: Receiver) -> None:
    hook.hold = threading.Event()
    made = hub.create(hook.url, types=["note"])
    hub.publish(*(note(f"room-{number}") for number in range(20)))
    hook.wait_for(16)
    time.sleep(0.5)
    assert len(hook.got) == 16
    hook.hold.set()
    hub.wait_for_states(made["id"], *["delivered"] * 20)


def test_nothing_is_lost_when_the_hub_or_the_process_is_killed(start: Any, hook: Receiver) -> None:
    hub = start()
    made = hub.create(hook.url, types=["note"])
    sent: list[str] = []
    for turn in range(2):
        sent += hub.publish(*(note(f"r{number % 5}", number) for number in range(40)))
        if turn == 1:
            hook.wait_for(1)
        os.kill(webhook_pid(hub), signal.SIGKILL)
        sent += hub.publish(*(note(f"r{number % 5}", number) for number in range(40)))
        hub.process.kill()
        hub.wait()
        hub = start()
    eventually(lambda: set(hook.ids), lambda ids: ids >= set(sent))
    for number in range(5):
        mine = [got.id for got in hook.got if got.event["data"]["room"] == f"r{number}"]
        first = list(dict.fromkeys(mine))
        assert first == [one for one in sent if one in set(first)]
    assert hub.one(made["id"])["missed"] == 0


def test_a_test_is_sent_at_once_also_while_disabled(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(hook.url, types=["note"])
    assert hub.ask("PATCH", f"/{made['id']}", {"enabled": False}).json()["reason"] == "operator"
    hook.status = 418
    answer = hub.ask("POST", f"/{made['id']}/test")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["status"], found["answer"], found["error"]) == (418, "ok", None)
    (got,) = hook.got
    body = got.verified_by(made["secret"])
    assert (body["type"], body["data"]) == ("webhook.test", {})
    assert got.id.startswith("test_")
    assert hub.deliveries(made["id"]) == []


def test_replay_of_a_range_and_of_deliveries(hub: WebhookHub, hook: Receiver) -> None:
    before = time.time()
    ids = hub.publish(*(note("range", number) for number in range(5)))
    made = hub.create(hook.url, types=["note"], rooms=["range"])
    path = f"/{made['id']}/replay"
    answer = hub.ask("POST", path, {"from": ids[1], "to": ids[3]})
    assert (answer.status_code, answer.json()) == (202, {"replayed": 3, "missed": 0})
    hook.wait_for(3)
    assert hook.ids == ids[1:4]
    hub.wait_for_states(made["id"], *["delivered"] * 3)
    assert hub.ask("POST", path, {"from": before - 10, "to": time.time()}).json()["replayed"] == 5
    hook.wait_for(8)
    assert hook.ids[3:] == ids
    hub.wait_for_states(made["id"], *["delivered"] * 8)
    oldest = hub.deliveries(made["id"])[-1]
    assert hub.ask("POST", path, {"deliveries": [oldest["id"]]}).json() == {"replayed": 1, "missed": 0}
    hook.wait_for(9)
    assert hook.ids[8] == ids[1]
    answer = hub.ask("POST", path, {"from": ids[3], "to": ids[1]})
    assert (answer.status_code, answer.json()["field"]) == (422, "from")


def test_all_that_failed_is_sent_again_by_one_request(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(hook.url, types=["note"])
    path = f"/{made['id']}/replay"
    assert hub.ask("POST", path, {"state": "failed"}).json() == {"replayed": 0, "missed": 0}
    hook.status = 404
    ids = hub.publish(*(note("a", number) for number in range(3)))
    hub.wait_for_states(made["id"], *["failed"] * 3)
    hook.status = 200
    before = len(hook.got)
    answer = hub.ask("POST", path, {"state": "failed"})
    assert (answer.status_code, answer.json()) == (202, {"replayed": 3, "missed": 0})
    hub.wait_for_states(made["id"], *["delivered"] * 3, *["failed"] * 3)
    assert hook.ids[before:] == ids
    assert hub.ask("POST", path, {"state": "failed"}).json() == {"replayed": 0, "missed": 0}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "from"),
        ({"to": 5}, "from"),
        ({"state": "delivered"}, "state"),
        ({"state": "failed", "from": 5}, "state"),
        ({"state": "failed", "deliveries": ["1"]}, "state"),
        ({"deliveries": ["1"], "to": 5}, "deliveries"),
        ({"deliveries": []}, "deliveries"),
        ({"deliveries": ["-1"]}, "deliveries"),
        ({"deliveries": ["77"]}, "deliveries"),
        ({"from": "yesterday"}, "from"),
        ({"from": 5, "to": "tomorrow"}, "to"),
    ],
)
def test_what_cannot_be_sent_again_is_refused_by_field(
    server: WebhookHub, body: dict[str, Any], field: str
) -> None:
    made = server.create("https://8.8.8.8/")
    answer = server.ask("POST", f"/{made['id']}/replay", body)
    server.ask("DELETE", f"/{made['id']}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_delivery_shows_its_requests_as_they_were_sent(hub: WebhookHub, hook: Receiver) -> None:
    hook.plan.append(503)
    made = hub.create(f"{hook.url}/x", types=["note"])
    hub.publish(note("a", 1, text="ü \u2028"))
    (delivery,) = hub.wait_for_states(made["id"], "delivered")
    shown = hub.ask("GET", f"/{made['id']}/deliveries/{delivery['id']}").json()
    assert [one["status"] for one in shown["attempts"]] == [503, 200]
    for got, attempt in zip(hook.got, shown["attempts"], strict=True):
        request = attempt.pop("request")
        assert request["url"] == f"{hook.url}/x"
        assert request["headers"].items() <= got.headers.items()
        assert shown["body"].encode() == got.body
        Webhook(made["secret"]).verify(shown["body"], request["headers"])
    del shown["body"]
    assert shown == delivery
    for path in (f"/{made['id']}/deliveries/1{delivery['id']}", f"/{made['id']}/deliveries/x"):
        assert hub.ask("GET", path).status_code == 404
    other = hub.create(hook.url)
    assert hub.ask("GET", f"/{other['id']}/deliveries/{delivery['id']}").status_code == 404


def test_copies_for_a_disabled_endpoint_end_with_the_retention(start: Any, hook: Receiver) -> None:
    hub = start(STREAM_ARCHIVE_MAX_AGE="3")
    hook.status = 410
    made = hub.create(hook.url, types=["note"])
    hub.publish(note("a", 1, text="short-lived"), note("b", 2))
    eventually(lambda: hub.one(made["id"])["reason"], "gone")
    found = eventually(lambda: hub.one(made["id"]), lambda one: one["missed"] == 2)
    assert found["health"]["pending"] == 0
    assert hub.deliveries(made["id"]) == []
    reasons = eventually(
        lambda: [one["reason"] for one in hub.get("/api/events?type=error").json()["events"]],
        lambda reasons: len(reasons) > 1,
    )
    assert reasons == ["gone", "expired"]
    assert "hub_webhooks_events_missed_total 2.0" in hub.get("/metrics").text


def test_the_log_has_pages_and_filters(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(hook.url, types=["note", "other"])
    ids = hub.publish(*(note("a", number) for number in range(5)), {"type": "other"})
    hub.wait_for_states(made["id"], *["delivered"] * 6)
    first = hub.ask("GET", f"/{made['id']}/deliveries?limit=4&type=note").json()
    rest = hub.ask("GET", f"/{made['id']}/deliveries?limit=4&type=note&cursor={first['next']}").json()
    assert [one["event_id"] for one in first["deliveries"] + rest["deliveries"]] == ids[4::-1]
    assert rest["next"] is None
    assert hub.deliveries(made["id"], "?state=failed") == []
    for query in ("?state=x", "?cursor=x", "?other=1", "?limit=x"):
        assert hub.ask("GET", f"/{made['id']}/deliveries{query}").status_code == 400


def test_a_start_in_the_past_and_in_the_future(hub: WebhookHub, hook: Receiver) -> None:
    ids = hub.publish(*(note("a", number) for number in range(3)))
    hub.create(f"{hook.url}/past", types=["note"], **{"from": ids[0]})
    hub.create(f"{hook.url}/now", types=["note"])
    more = hub.publish(note("a", 3))
    hook.wait_for(4)
    assert [got.id for got in hook.got if got.path == "/past"] == ids[1:] + more
    assert [got.id for got in hook.got if got.path == "/now"] == more


def test_a_disabled_endpoint_continues_where_it_stood(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(hook.url, types=["note"])
    path = f"/{made['id']}"
    ids = hub.publish(note("a", 1))
    hook.wait_for(1)
    assert hub.ask("PATCH", path, {"enabled": False}).json()["enabled"] is False
    ids += hub.publish(note("a", 2), note("a", 3))
    time.sleep(0.5)
    assert hook.ids == ids[:1]
    assert hub.ask("PATCH", path, {"enabled": True}).json()["reason"] is None
    ids += hub.publish(note("a", 4))
    hook.wait_for(4)
    assert hook.ids == ids


def test_rotation_signs_with_both_secrets(hub: WebhookHub, hook: Receiver) -> None:
    made = hub.create(hook.url, types=["note"])
    second = hub.ask("PATCH", f"/{made['id']}", {"rotate_secret": True}).json()["secret"]
    hub.publish(note("a", 1))
    (got,) = hook.wait_for(1)
    for secret in (made["secret"], second):
        got.verified_by(secret)
    third = hub.ask("PATCH", f"/{made['id']}", {"rotate_secret": True}).json()["secret"]
    hub.publish(note("a", 2))
    got = hook.wait_for(2)[1]
    for secret in (second, third):
        got.verified_by(secret)
    with pytest.raises(Exception, match="No matching signature"):
        got.verified_by(made["secret"])


def test_the_webhook_of_the_settings(start: Any, hook: Receiver, tmp_path: Path) -> None:
    hub = start(STREAM_WEBHOOK_URL=hook.url, STREAM_WEBHOOK_SECRET=SECRET, STREAM_WEBHOOK_TYPES="note, other")
    (found,) = eventually(lambda: hub.ask("GET", "").json().get("webhooks"), lambda found: found)
    assert (found["id"], found["types"]) == ("settings", ["note", "other"])
    hub.publish(note())
    hook.wait_for(1)[0].verified_by(SECRET)
    for method in ("PATCH", "DELETE"):
        answer = hub.ask(method, "/settings", {"enabled": False})
        assert answer.status_code == 409
        assert "STREAM_WEBHOOK_URL" in answer.json()["detail"]
    assert stat.S_IMODE((tmp_path / "data" / "outlets.db").stat().st_mode) == 0o600
    assert SECRET not in hub.log
    hub.process.kill()
    hub.wait()
    hub = start()
    eventually(lambda: hub.ask("GET", "").json().get("webhooks"), [])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"STREAM_WEBHOOK_URL": "https://hook.example/"}, "STREAM_WEBHOOK_SECRET"),
        ({"STREAM_WEBHOOK_URL": "https://u:p@hook.example/", "STREAM_WEBHOOK_SECRET": SECRET}, "credentials"),
        ({"STREAM_WEBHOOK_SECRET": "whsec_AAAA"}, "24 to 64 bytes"),
        ({"STREAM_WEBHOOK_TYPES": "a b"}, "STREAM_WEBHOOK_TYPES"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, str], named: str, tmp_path: Path) -> None:
    places = {"STREAM_HISTORY": "memory://", "STREAM_ARCHIVE": f"sqlite:///{tmp_path}/archive.db"}
    with pytest.raises(SettingsError, match=named) as refused:
        Services(parse(places | settings))
    assert "AAAA" not in str(refused.value)


def test_a_hub_with_a_url_and_no_archive_does_not_start(tmp_path: Path) -> None:
    settings = {"STREAM_WEBHOOK_URL": "https://hook.example/", "STREAM_WEBHOOK_SECRET": SECRET}
    hub = WebhookHub(tmp_path, STREAM_ARCHIVE="off", **settings).spawn()
    try:
        assert hub.wait() == 2
    finally:
        hub.kill()
    assert "STREAM_ARCHIVE" in hub.log
    assert SECRET not in hub.log


def test_without_an_archive_it_names_the_setting(client: FlaskClient) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/wh_1"), ("POST", "/wh_1/test")):
        answer = client.open(f"/api/webhooks{path}", method=method, json={"url": "https://hook.example/"})
        assert answer.status_code == 409
        assert "STREAM_ARCHIVE" in answer.json["detail"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "http://hook.example/"}, "url"),
        ({"url": "https://a:b@hook.example/"}, "url"),
        *(
            ({"url": url}, "url")
            for url in (
                *("", "hook.example", "https://", "ftp://hook.example/", "https://hook.example:0x50/"),
                *("https://0177.0.0.1/", "https://0x7f000001/", "https://127.1/", "https://127.0.0.1./"),
                *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/"),
                *(
                    "https://169.254.169.254/latest/meta-data",
                    "https://100.64.0.1/",
                    "https://[fe80::1%25lo]/",
                ),
                *(
                    "https://\uff11\uff12\uff17.0.0.1/",
                    "https://127\u30020\u30020\u30021/",
                    "https://localhost./",
                ),
                *(
                    "https://hook.example\\@127.0.0.1/",
                    "https://127.0.0.1#@hook.example/",
                    "https://a@10.0.0.1/",
                ),
                *("https://hook.example/\r\nx: y", "https://hook.example/" + "x" * 2048),
            )
        ),
        ({"types": []}, "types"),
        ({"types": None}, "types"),
        ({"types": "note"}, "types"),
        ({"types": ["a b"]}, "types[0]"),
        ({"types": ["note", "*x"]}, "types[1]"),
        ({"types": ["x" * 65]}, "types[0]"),
        ({"types": ["note\n"]}, "types[0]"),
        ({"types": ["note"] * 101}, "types"),
        ({"types": ["note", "heartbeat"]}, "types"),
        ({"rooms": ["*"]}, "rooms"),
        ({"rooms": []}, "rooms"),
        ({"rooms": "a"}, "rooms"),
        ({"rooms": [""]}, "rooms[0]"),
        ({"rooms": ["a", None]}, "rooms[1]"),
        ({"rooms": ["a\r\n"]}, "rooms[0]"),
        ({"rooms": ["a\n"]}, "rooms[0]"),
        ({"rooms": ["a\0"]}, "rooms[0]"),
        ({"rooms": ["x" * 1001]}, "rooms[0]"),
        ({"description": 5}, "description"),
        ({"view": "all"}, "view"),
        ({"interims": "yes"}, "interims"),
        ({"from": "yesterday"}, "from"),
        ({"from": -1}, "from"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_bad_endpoints_are_refused_by_field(server: WebhookHub, fields: dict[str, Any], field: str) -> None:
    asked = fields if "url" in fields or not fields else {"url": "https://8.8.8.8/", **fields}
    answer = server.ask("POST", "", asked)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert server.ask("GET", "").json() == {"webhooks": []}
    if not fields:
        return
    made = server.create("https://8.8.8.8/", description="unchanged")
    changed = server.ask("PATCH", f"/{made['id']}", fields)
    after = server.one(made["id"])
    server.ask("DELETE", f"/{made['id']}")
    assert (changed.status_code, changed.json()["field"]) == (422, field)
    del made["secret"]
    assert after == made


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rotate_secret": "yes"}, "rotate_secret"),
        ({"rotate_secret": "whsec_" + "QUJD" * 10}, "rotate_secret"),
        ({"enabled": 1}, "enabled"),
        ({"secret": "whsec_" + "QUJD" * 10}, "secret"),
    ],
)
def test_secrets_are_the_hubs_to_make(server: WebhookHub, fields: dict[str, Any], field: str) -> None:
    made = server.create("https://8.8.8.8/")
    answer = server.ask("PATCH", f"/{made['id']}", fields)
    server.ask("DELETE", f"/{made['id']}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "QUJDQUJD" not in answer.text
    assert "QUJDQUJD" not in server.log


def test_who_may(start: Any, hook: Receiver) -> None:
    hub = start(
        STREAM_JWT_SECRET=JWT_SECRET, STREAM_OPERATOR_KEYS="operator-key", STREAM_PUBLISH_KEYS="publish-key"
    )
    everything = {"X-API-Key": "operator-key"}
    limited = token("operate", rooms=["a", "b"])
    assert hub.ask("GET", "").status_code == 401
    assert hub.ask("GET", "", None, **{"X-API-Key": "publish-key"}).status_code == 403
    # 503 while its process starts.
    made = eventually(
        lambda: hub.ask("POST", "", {"url": hook.url}, **everything), lambda got: got.status_code != 503, 60
    )
    all_rooms = made.json()["id"]
    mine = hub.ask("POST", "", {"url": hook.url, "rooms": ["a"]}, **limited)
    assert mine.status_code == 201, mine.text
    for rooms in (None, ["a", "c"]):
        answer = hub.ask("POST", "", {"url": hook.url, "rooms": rooms}, **limited)
        assert (answer.status_code, answer.json()["field"]) == (403, "rooms")
    name = mine.json()["id"]
    assert [one["id"] for one in hub.ask("GET", "", None, **limited).json()["webhooks"]] == [name]
    assert len(hub.ask("GET", "", None, **everything).json()["webhooks"]) == 2
    for method, rest in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/replay"),
    ):
        answer = hub.ask(method, f"/{all_rooms}{rest}", {"from": 1} if rest == "/replay" else {}, **limited)
        assert answer.status_code == 404, (method, rest, answer.text)
    answer = hub.ask("PATCH", f"/{name}", {"rooms": ["c"]}, **limited)
    assert (answer.status_code, answer.json()["field"]) == (403, "rooms")
    assert hub.ask("DELETE", f"/{name}", None, **limited).status_code == 204
    assert hub.ask("GET", f"/{name}", None, **everything).status_code == 404


def test_erasing_takes_copies_and_log_and_what_waits(patient: WebhookHub, hook: Receiver) -> None:
    hook.status = 503
    made = patient.create(hook.url, types=["*"])
    path = f"/{made['id']}"
    patient.publish(*call("doomed", "a"), *call("kept", "b"), note("a", 1, text="doomed words"))
    eventually(lambda: {one["room"] for one in patient.deliveries(made["id"], "?limit=200")}, {"a", "b"})
    erased = requests.delete(f"{patient.url}/api/sessions/doomed", timeout=PATIENCE)
    assert erased.status_code == 200, erased.text
    assert requests.delete(f"{patient.url}/api/rooms/a/events", timeout=PATIENCE).status_code == 200
    assert {one["room"] for one in patient.deliveries(made["id"], "?limit=200")} == {"b"}
    for name in ("outlets.db", "outlets.db-wal"):
        assert b"doomed" not in (patient.folder / "data" / name).read_bytes()
    hook.status = 200
    before = len(hook.got)
    patient.ask("PATCH", path, {"enabled": False})
    patient.ask("PATCH", path, {"enabled": True})
    eventually(lambda: patient.deliveries(made["id"], "?state=pending"), [])
    assert len(hook.got) > before
    assert {got.event["data"].get("room") for got in hook.got[before:]} <= {"b", None}
    assert "doomed" not in "".join(got.body.decode() for got in hook.got[before:])


def test_410_disables_and_publishes_one_error_that_is_not_sent_there(hub: WebhookHub, hook: Receiver) -> None:
    hub.create(f"{hook.url}/other", types=["error"])
    made = hub.create(f"{hook.url}/gone", types=["*"])

    def act(handler: Any, got: Any) -> None:
        handler.send_response(410 if got.path == "/gone" else 200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    def arrived(path: str) -> list[str]:
        return [got.id for got in hook.got if got.path == path]

    hook.act = act
    ids = hub.publish(note("a", 1), note("a", 2))
    eventually(lambda: hub.one(made["id"])["reason"], "gone")

    def errors() -> list[dict[str, Any]]:
        found = hub.get("/api/events?type=error&limit=1000").json()["events"]
        return [one for one in found if one.get("webhook_id") == made["id"]]

    (event,) = eventually(errors, lambda found: found)
    assert (event["source"], event["webhook_id"], event["reason"], event["recoverable"]) == (
        "webhook",
        made["id"],
        "gone",
        False,
    )
    eventually(lambda: arrived("/other").count(event["id"]), 1)
    assert {(one["state"], one["next_try"]) for one in hub.deliveries(made["id"])} == {("pending", None)}
    assert hub.one(made["id"])["health"]["next_try"] is None
    for line in ('hub_webhooks_endpoints{state="disabled"} 1.0', "hub_webhooks_up 1.0"):
        eventually(lambda line=line: line in hub.get("/metrics").text, wanted=True)
    hook.act = None
    assert hub.ask("PATCH", f"/{made['id']}", {"enabled": True}).json()["enabled"] is True
    eventually(lambda: [one for one in arrived("/gone") if one in ids][-2:], ids)
    eventually(lambda: hub.deliveries(made["id"], "?state=pending"), [])
    assert event["id"] not in arrived("/gone")
    assert len(errors()) == 1


def test_secrets_bodies_and_paths_stay_out_of_the_log(hub: WebhookHub, hook: Receiver) -> None:
    hook.status = 500
    made = hub.create(f"{hook.url}/hidden-path?key=hidden-query", types=["note"])
    hub.publish(note("a", 1, text="hidden words"))
    hub.wait_for_states(made["id"], "failed")
    assert "hidden" not in hub.log
    assert made["secret"].removeprefix("whsec_") not in hub.log


def test_a_hub_without_webhooks_has_no_process_for_them(start: Any) -> None:
    hub = start()
    assert hub.ask("GET", "").json() == {"webhooks": []}
    hub.publish(note())
    time.sleep(1)
    with pytest.raises(AssertionError, match="has no child"):
        webhook_pid(hub)
    assert hub.ask("GET", "/wh_1").status_code == 404
