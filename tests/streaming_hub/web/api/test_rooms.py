"""Reading what is stored, and erasing it: `/api/events`, `/api/rooms`, DELETE; `/`, health.

Covers streaming_hub.web.api.events, streaming_hub.web.api.erasing, streaming_hub.web.api.health and
streaming_hub.web.query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.web.current import services_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

SECRET = "words-to-be-erased"


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    """An application over each kind of history."""
    where = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/events.db"
    # Only what erases needs the archive, which is a process of its own.
    archive = None if request.cls is TestErase else "off"
    return make_app(history=where, history_max_events=200, archive=archive)


def post(client: FlaskClient, *events: dict[str, Any]) -> list[str]:
    """Publish a batch; return its ids."""
    answer = client.post("/api/agent/data", json=[{"type": "note", **event} for event in events])
    ids: list[str] = answer.get_json()["ids"]
    return ids


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    """Ask for JSON."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.get_json()
    return body


def ids_of(page: dict[str, Any]) -> list[str]:
    """Ids of a page's events."""
    return [event["id"] for event in page["events"]]


class TestEvents:
    """`GET /api/events`."""

    def test_an_empty_history(self, client: FlaskClient) -> None:
        page = get(client, "/api/events")
        epoch = page["next"].split("-")[0]
        assert (page["events"], page["next"], page["more"]) == ([], f"{epoch}-0", False)
        assert get(client, f"/api/events?after={page['next']}")["events"] == []

    @pytest.mark.parametrize("query", ["", "room=a&", "room=none&"])
    def test_pages_forward_meet_every_event_once(self, client: FlaskClient, query: str) -> None:
        ids = post(client, *({"room": "ab"[n % 2]} for n in range(25)))
        wanted = {"": ids, "room=a&": ids[::2], "room=none&": []}[query]
        seen: list[str] = []
        page = get(client, f"/api/events?{query}limit=4")
        for _ in range(20):
            seen += ids_of(page)
            assert len(page["events"]) <= 4
            if not page["more"]:
                break
            page = get(client, f"/api/events?{query}limit=4&after={page['next']}")
        assert seen == wanted
        assert page["next"] == ids[-1]

    def test_the_next_cursor_continues_with_what_comes_later(self, client: FlaskClient) -> None:
        post(client, {}, {})
        cursor = get(client, "/api/events")["next"]
        later = post(client, {})
        assert ids_of(get(client, f"/api/events?after={cursor}")) == later

    def test_pages_backward(self, client: FlaskClient) -> None:
        ids = post(client, *({} for _ in range(10)))
        page = get(client, f"/api/events?limit=4&before={ids[-1]}")
        assert ids_of(page) == ids[5:9]
        page = get(client, f"/api/events?limit=4&before={page['previous']}")
        assert ids_of(page) == ids[1:5]
        page = get(client, f"/api/events?limit=4&before={page['previous']}")
        assert ids_of(page) == ids[:1]
        page = get(client, f"/api/events?limit=4&before={page['previous']}")
        assert (page["events"], page["previous"]) == ([], None)

    @pytest.mark.parametrize(
        ("query", "count"),
        [("last=3", 3), ("last=3&limit=1000", 3), ("last&limit=4", 4), ("last=9&limit=4", 4), ("last=", 10)],
    )
    def test_the_newest(self, client: FlaskClient, query: str, count: int) -> None:
        ids = post(client, *({} for _ in range(10)))
        page = get(client, f"/api/events?{query}")
        assert (ids_of(page), page["next"]) == (ids[-count:], ids[-1])

    @pytest.mark.parametrize(
        "query", ["after={id}&before={id}", "after={id}&last=1", "before={id}&last", "last=newest"]
    )
    def test_places_that_do_not_go_together(self, client: FlaskClient, query: str) -> None:
        (found,) = post(client, {})
        assert client.get(f"/api/events?{query.format(id=found)}").status_code == 400

    @pytest.mark.parametrize("name", ["rooms", "Room", "ticket", "is_final", "x" * 500])
    def test_a_parameter_that_nothing_reads_is_named(self, client: FlaskClient, name: str) -> None:
        answer = client.get(f"/api/events?room=a&{name}=1")
        assert (answer.status_code, answer.get_json()["field"]) == (400, name[:40])
        assert "session_id" in answer.get_json()["detail"]

    def test_pages_backward_are_bounded_in_bytes(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streaming_hub.web.api.events.PAGE_BYTES", 10_000)
        ids = post(client, *({"text": "x" * 4000} for _ in range(5)))
        page = get(client, "/api/events?last&limit=1000")
        assert ids_of(page) == ids[3:]
        assert ids_of(get(client, f"/api/events?limit=1000&before={page['previous']}")) == ids[1:3]

    def test_nothing_comes_before_the_first_position(self, client: FlaskClient) -> None:
        ids = post(client, {}, {})
        epoch = ids[0].split("-")[0]
        page = get(client, f"/api/events?before={epoch}-0")
        assert (page["events"], page["next"]) == ([], f"{epoch}-0")

    def test_an_expired_cursor_reads_what_there_is(self, client: FlaskClient) -> None:
        ids = post(client, *({} for _ in range(250)))
        assert ids_of(get(client, f"/api/events?limit=1000&after={ids[0]}")) == ids[50:]

    @pytest.mark.parametrize("cursor", ["nope", "other-1", "{epoch}-99"])
    def test_a_cursor_of_another_history_is_a_problem(self, client: FlaskClient, cursor: str) -> None:
        epoch = post(client, {})[0].split("-")[0]
        answer = client.get(f"/api/events?after={cursor.format(epoch=epoch)}")
        assert answer.status_code == 400
        assert answer.get_json()["field"] == "after"

    def test_a_large_limit_is_cut(self, make_app: Callable[..., Flask]) -> None:
        client = make_app().test_client()
        post(client, *({} for _ in range(700)))
        post(client, *({} for _ in range(700)))
        page = get(client, "/api/events?limit=5000")
        assert (len(page["events"]), page["more"]) == (1000, True)
        assert len(get(client, "/api/events")["events"]) == 100


class TestRooms:
    """`GET /api/rooms` and one room's state."""

    def test_only_rooms_with_stored_events_are_there(self, client: FlaskClient) -> None:
        post(client, {"room": "a"}, {"room": "b"}, {})
        assert {room["room"] for room in get(client, "/api/rooms")["rooms"]} == {"a", "b"}
        post(client, *({"room": "b"} for _ in range(200)))
        assert {room["room"] for room in get(client, "/api/rooms")["rooms"]} == {"b"}
        assert client.get("/api/rooms/a").status_code == 404

    def test_a_rooms_state(self, client: FlaskClient) -> None:
        post(
            client,
            {"type": "agent_state", "room": "a", "state": "speaking"},
            {
                "type": "transcript",
                "room": "a",
                "text": "hello",
                "role": "user",
                "is_final": True,
                "participant": "p",
            },
        )
        state = get(client, "/api/rooms/a")
        assert state["room"] == "a"
        assert "hello" in str(state)

    @pytest.mark.parametrize("name", ["a b", "a/b", "ä", "a?b", "a%b", "..", "a//b", "x/events"])
    def test_any_name_can_be_asked_for_and_erased(self, client: FlaskClient, name: str) -> None:
        from urllib.parse import quote

        post(client, {"room": name})
        if name != "..":
            assert get(client, f"/api/rooms/{quote(name, safe='')}")["room"] == name
            assert client.delete(f"/api/rooms/{quote(name, safe='')}/events").get_json()["erased"] == 1
            assert get(client, "/api/rooms")["rooms"] == []


class TestErase:
    """DELETE: gone for good."""

    @pytest.mark.parametrize("path", ["/api/rooms/a/events", "/api/sessions/s"])
    def test_erased_events_are_nowhere(
        self, app: Flask, client: FlaskClient, tmp_path: Path, path: str
    ) -> None:
        gone = {"room": "a", "session_id": "s", "text": SECRET, "type": "transcript", "is_final": True}
        ids = post(client, gone, {"room": "b", "text": "stays"}, gone)
        stream = client.get("/api/stream?replay=10&snapshot=1", buffered=False)
        assert SECRET in get(client, "/api/rooms/a").__str__()
        assert client.delete(path).get_json() == {"status": "ok", "erased": 2}
        assert ids_of(get(client, "/api/events")) == [ids[1]]
        assert SECRET not in str(get(client, "/api/rooms"))
        later = client.get("/api/stream?replay=10&snapshot=1", buffered=False)
        iterator = iter(later.response)
        first = b"".join(next(iterator) for _ in range(2))
        assert SECRET.encode() not in first
        assert b"stays" in first
        stream.close()
        later.close()
        for file in tmp_path.iterdir():
            assert SECRET.encode() not in file.read_bytes()
        assert client.delete(path).get_json()["erased"] == 0
        assert post(client, {})[0].endswith("-4")

    def test_only_delete_erases(self, client: FlaskClient) -> None:
        post(client, {"room": "a"})
        for method in ("POST", "PUT", "PATCH"):
            assert client.open("/api/rooms/a/events", method=method).status_code == 405
        assert len(get(client, "/api/events")["events"]) == 1


def test_the_test_clients_stream_is_the_same_body(client: FlaskClient) -> None:
    """Where no socket can be had, a generator serves the same frames."""
    ids = post(client, {}, {})
    answer = client.get(f"/api/stream?last_event_id={ids[0]}", buffered=False)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    iterator = iter(answer.response)
    assert b'"type":"connected"' in next(iterator)
    assert next(iterator).startswith(f"id: {ids[1]}\ndata: ".encode())
    heart = next(iterator)
    assert heart.startswith(f"id: {ids[1]}\n".encode())
    assert b'"heartbeat"' in heart
    later = post(client, {})
    assert next(iterator).startswith(f"id: {later[0]}\n".encode())
    answer.close()
    assert post(client, {})
    assert get(client, "/api/health")["clients"] == 0


@pytest.mark.parametrize("path", ["/", "/stream-test.html"])
def test_the_page_is_served_with_a_policy(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.mimetype == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_health_is_cheap_and_truthful(app: Flask, client: FlaskClient) -> None:
    body = get(client, "/api/health")
    assert (body["status"], body["clients"]) == ("ok", 0)
    services_of(app).draining = True
    answer = client.get("/api/health")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "draining")
    assert client.post("/api/agent/data", json={"type": "a"}).status_code == 503
    assert b"goodbye" in client.get("/api/stream").data
