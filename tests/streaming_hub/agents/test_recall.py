"""Which rooms get the agent back, and what is asked of livekit-server for it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from streaming_hub.agents.recall import (
    ATTEMPTS,
    CHECKS_IN_DOUBT,
    SENDINGS,
    Pace,
    Recall,
    needs_agent,
)
from streaming_hub.livekit.server_api import (
    Open,
    Present,
    Service,
    ServiceError,
)
from streaming_hub.livekit.tokens import Minter

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a_secret_of_at_least_32_bytes_____"
ALICE = Present("alice", agent=False, joined_at=10.0)
OLD_AGENT = Present("agent-1", agent=True, joined_at=11.0)
NEW_AGENT = Present("agent-2", agent=True, joined_at=31.0)


@pytest.mark.parametrize(
    ("people", "lost_at", "needed"),
    [
        ([], None, False),
        ([ALICE], None, True),
        ([ALICE, OLD_AGENT], None, False),
        ([OLD_AGENT], 30.0, False),
        ([ALICE, OLD_AGENT], 30.0, True),
        ([ALICE, OLD_AGENT, NEW_AGENT], 30.0, False),
    ],
)
def test_room_needs_an_agent_where_people_are_without_a_living_one(
    people: list[Present], lost_at: float | None, needed: bool
) -> None:
    assert needs_agent(people, lost_at) is needed


class Rooms(Service):
    """A livekit-server in memory."""

    def __init__(self, failures: int = 0, **rooms: list[Present]) -> None:
        super().__init__("ws://unused", Minter("devkey", SECRET))
        self.rooms = rooms
        self.failures = failures
        self.open: list[Open] = []
        self.obeys = True
        self.sent: list[tuple[str, str]] = []
        self.looked: list[str] = []

    def opened(self) -> list[Open]:
        if self.failures:
            raise ServiceError("it does not answer")
        return self.open

    def present(self, room: str) -> list[Present]:
        self.looked.append(room)
        if self.failures:
            self.failures -= 1
            raise ServiceError("it does not answer")
        return self.rooms.get(room, [])

    def dispatch(self, room: str, agent_name: str) -> None:
        self.sent.append((room, agent_name))
        if self.obeys:
            self.rooms[room] = [*self.rooms[room], NEW_AGENT]


class Calls:
    """A recall with a standing clock, whose thread is waited for."""

    def __init__(self, rooms: Rooms, agent_name: str = "") -> None:
        self.failed: list[tuple[str, str]] = []
        self.recall = Recall(
            rooms,
            agent_name,
            lambda room, why: self.failed.append((room, why)),
            clock=lambda: 30.0,
            pace=Pace(settle=0.0, again=0.0, arrival=0.0),
        )

    def ready(self) -> None:
        """Let the agent be ready, and wait until all rooms are looked at."""
        self.recall.agent_ready()
        self.settle()

    def settle(self) -> None:
        for thread in threading.enumerate():
            if thread.name == "agent-recall":
                thread.join(10)


def test_agent_is_sent_to_rooms_that_lost_it_and_that_people_entered_meanwhile() -> None:
    rooms = Rooms(lost=[ALICE, OLD_AGENT], entered=[ALICE], heard=[ALICE], empty=[], closed=[ALICE])
    calls = Calls(rooms)
    for room in ("lost", "empty", "closed"):
        calls.recall.lost(room)
    calls.recall.entered("lost")  # does not make the old agent a living one
    calls.recall.entered("entered")
    calls.recall.heard_of("heard")
    calls.recall.closed("closed")
    calls.ready()
    assert sorted(rooms.sent) == [("entered", ""), ("heard", ""), ("lost", "")]
    calls.recall.agent_gone()
    calls.ready()
    assert len(rooms.sent) == 3, "a second readiness sends no second agent"


def test_agent_that_may_only_be_cut_off_gets_no_second_one_beside_it() -> None:
    rooms = Rooms(alive=[ALICE, OLD_AGENT], dead=[ALICE, OLD_AGENT])
    calls = Calls(rooms)
    for room in ("alive", "dead"):
        calls.recall.lost(room, surely=False)
    looked = rooms.present

    def present(room: str) -> list[Present]:
        if rooms.looked.count("dead") == CHECKS_IN_DOUBT // 2:
            rooms.rooms["dead"] = [ALICE]  # LiveKit has removed it
        return looked(room)

    rooms.present = present  # type: ignore[method-assign]
    calls.ready()
    assert rooms.sent == [("dead", "")]
    assert rooms.looked.count("alive") == CHECKS_IN_DOUBT


def test_room_entered_while_the_agent_is_there_gets_it() -> None:
    rooms = Rooms(open=[ALICE])
    calls = Calls(rooms)
    calls.ready()
    calls.recall.entered("open")
    calls.settle()
    assert rooms.sent == [("open", "")]


def test_agent_that_livekit_sends_by_itself_meanwhile_is_not_doubled() -> None:
    class Arriving(Rooms):
        def present(self, room: str) -> list[Present]:
            seen = super().present(room)
            return [*seen, NEW_AGENT] if len(self.looked) > 1 else seen

    rooms = Arriving(hall=[ALICE])
    calls = Calls(rooms)
    calls.recall.entered("hall")
    calls.ready()
    assert rooms.looked == ["hall", "hall"]
    assert rooms.sent == []


def test_without_an_agent_no_room_is_checked() -> None:
    rooms = Rooms(hall=[ALICE])
    calls = Calls(rooms)
    calls.ready()
    calls.recall.agent_gone()
    calls.recall.entered("hall")
    calls.settle()
    assert rooms.looked == []


def test_agent_that_does_not_come_is_sent_again_and_then_reported() -> None:
    rooms = Rooms(hall=[ALICE])
    rooms.obeys = False
    calls = Calls(rooms)
    calls.recall.lost("hall")
    calls.ready()
    assert rooms.sent == [("hall", "")] * SENDINGS
    assert [room for room, _ in calls.failed] == ["hall"]


def test_room_that_stays_empty_is_forgotten() -> None:
    rooms = Rooms()
    calls = Calls(rooms)
    calls.recall.entered("hall")
    calls.ready()
    assert rooms.looked == ["hall"] * ATTEMPTS
    assert (rooms.sent, calls.failed) == ([], [])


def test_agent_with_a_name_is_sent_by_it_and_not_to_rooms_that_never_asked() -> None:
    rooms = Rooms(ours=[ALICE], foreign=[ALICE])
    calls = Calls(rooms, "helper")
    calls.recall.entered("ours")
    calls.recall.heard_of("foreign")
    calls.ready()
    assert rooms.sent == [("ours", "helper")]


def test_server_that_does_not_answer_is_asked_again() -> None:
    rooms = Rooms(failures=2, hall=[ALICE])
    calls = Calls(rooms)
    calls.recall.lost("hall")
    calls.ready()
    assert rooms.sent == [("hall", "")]
    assert calls.failed == []


def test_an_unexpected_error_does_not_end_the_looks(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Rooms):
        def present(self, room: str) -> list[Present]:
            found = super().present(room)
            if len(self.looked) == 1:
                raise KeyError("participants")
            return found

    rooms = Odd(open=[ALICE])
    calls = Calls(rooms)
    calls.recall.lost("open")
    calls.ready()
    assert rooms.sent == [("open", "")]
    assert "unexpected error: a check of the room" in caplog.text


def test_failure_is_reported_with_its_cause() -> None:
    rooms = Rooms(failures=99, hall=[ALICE])
    calls = Calls(rooms)
    calls.recall.lost("hall")
    calls.ready()
    assert rooms.sent == []
    assert calls.failed == [("hall", "the agent could not be sent to the room: it does not answer")]


def test_rooms_that_were_opened_while_the_agent_took_none_get_it_afterwards() -> None:
    rooms = Rooms(before=[ALICE], served=[ALICE], passed_over=[ALICE])
    rooms.open = [Open("before", 29.0), Open("served", 31.0), Open("passed_over", 31.0)]
    calls = Calls(rooms)
    calls.ready()
    calls.recall.takes_rooms(frozenset())
    calls.settle()
    assert rooms.looked == [], "it has taken rooms all the time"
    calls.recall.takes_none()
    calls.recall.takes_none()
    calls.recall.takes_rooms(frozenset({"served"}))
    calls.settle()
    assert rooms.sent == [("passed_over", "")]
    calls.recall.takes_rooms(frozenset())
    calls.settle()
    assert len(rooms.sent) == 1


def test_agent_with_a_name_goes_to_no_room_that_it_was_not_asked_to() -> None:
    rooms = Rooms(passed_over=[ALICE])
    rooms.open = [Open("passed_over", 31.0)]
    calls = Calls(rooms, "helper")
    calls.ready()
    calls.recall.takes_none()
    calls.recall.takes_rooms(frozenset())
    calls.settle()
    assert rooms.sent == []


def test_stopped_agent_is_not_sent_to_what_was_opened_since() -> None:
    rooms = Rooms(later=[ALICE])
    rooms.open = [Open("later", 31.0)]
    calls = Calls(rooms)
    calls.ready()
    calls.recall.takes_none()
    calls.recall.agent_gone()
    calls.ready()
    calls.recall.takes_rooms(frozenset())
    calls.settle()
    assert rooms.sent == []


def test_rooms_that_cannot_be_listed_are_reported_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls(Rooms(failures=99))
    calls.ready()
    calls.recall.takes_none()
    calls.recall.takes_rooms(frozenset())
    calls.settle()
    assert "it does not answer" in caplog.text


def test_open_rooms_that_cannot_be_read_do_not_end_the_looks(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Rooms):
        def opened(self) -> list[Open]:
            raise TypeError("rooms")

    rooms = Odd(hall=[ALICE])
    calls = Calls(rooms)
    calls.ready()
    calls.recall.takes_none()
    calls.recall.takes_rooms(frozenset())
    calls.settle()
    assert "the open rooms could not be read" in caplog.text
    calls.recall.entered("hall")
    calls.settle()
    assert rooms.sent == [("hall", "")]


def test_stopping_hub_dispatches_no_agent() -> None:
    rooms = Rooms(hall=[ALICE])
    calls = Calls(rooms)
    calls.recall.lost("hall")
    calls.recall.stop()
    calls.ready()
    assert rooms.looked == []


class Twirp(ThreadingHTTPServer):
    """Answers as livekit-server's API does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.answer: tuple[int, str, bytes] = (200, "application/json", b"{}")


class _Answer(BaseHTTPRequestHandler):
    server: Twirp

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        self.server.asked.append((self.path, body, jwt.decode(token, SECRET, ["HS256"])))
        status, kind, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def twirp() -> Iterator[Twirp]:
    with Twirp() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def service(twirp: Twirp) -> Service:
    return Service(f"ws://127.0.0.1:{twirp.server_address[1]}/", Minter("devkey", SECRET))


def test_participants_are_read_as_livekit_writes_them(twirp: Twirp) -> None:
    people = [
        {"identity": "alice", "state": "ACTIVE", "joinedAt": "1700000000"},
        {"identity": "agent-1", "kind": "AGENT", "joinedAt": "1700000001", "joinedAtMs": "1700000001500"},
        {"identity": "gone", "state": "DISCONNECTED"},
    ]
    twirp.answer = (200, "application/json", json.dumps({"participants": people}).encode())
    assert service(twirp).present("hall") == [
        Present("alice", agent=False, joined_at=1700000000.0),
        Present("agent-1", agent=True, joined_at=1700000001.5),
    ]
    path, body, claims = twirp.asked[0]
    assert (path, body) == ("/twirp/livekit.RoomService/ListParticipants", {"room": "hall"})
    assert claims["video"]["roomAdmin"] is True
    assert claims["video"]["room"] == "hall"
    assert "roomJoin" not in claims["video"]


def test_open_rooms_are_asked_for_with_a_token_that_may_list_them(twirp: Twirp) -> None:
    rooms = [
        {"name": "hall", "creationTime": "1700000000", "creationTimeMs": "1700000000250"},
        {"name": "den", "creation_time": "1700000001"},
    ]
    twirp.answer = (200, "application/json", json.dumps({"rooms": rooms}).encode())
    assert service(twirp).opened() == [Open("hall", 1700000000.25), Open("den", 1700000001.0)]
    path, body, claims = twirp.asked[0]
    assert (path, body) == ("/twirp/livekit.RoomService/ListRooms", {})
    assert claims["video"]["roomList"] is True
    assert "roomAdmin" not in claims["video"]


def test_dispatch_names_room_and_agent(twirp: Twirp) -> None:
    service(twirp).dispatch("hall", "helper")
    path, body, _ = twirp.asked[0]
    assert path == "/twirp/livekit.AgentDispatchService/CreateDispatch"
    assert body == {"room": "hall", "agent_name": "helper"}


def test_missing_room_has_no_participants(twirp: Twirp) -> None:
    twirp.answer = (404, "application/json", b'{"code": "not_found", "msg": "no such room"}')
    assert service(twirp).present("hall") == []


@pytest.mark.parametrize(
    ("status", "kind", "content"),
    [
        (401, "application/json", b'{"code": "unauthenticated"}'),
        (404, "text/plain", b"404 page not found"),
        (200, "text/html", b"<html>"),
        (302, "text/plain", b""),
    ],
)
def test_other_answers_are_failures_that_say_what_was_asked(
    twirp: Twirp, status: int, kind: str, content: bytes
) -> None:
    twirp.answer = (status, kind, content)
    with pytest.raises(ServiceError, match="RoomService/ListParticipants for 'hall'"):
        service(twirp).present("hall")


def test_rooms_that_cannot_be_listed_are_a_failure_without_a_room(twirp: Twirp) -> None:
    twirp.answer = (401, "application/json", b"{}")
    with pytest.raises(ServiceError, match=r"^RoomService/ListRooms: 401"):
        service(twirp).opened()


def test_server_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(ServiceError, match="hall"):
        Service("ws://127.0.0.1:9", Minter("devkey", SECRET)).present("hall")


def test_a_watcher_is_nobody_who_is_present(twirp: Twirp) -> None:
    people = [{"identity": "hub-watcher-1", "kind": "AGENT"}, {"identity": "hub-watcher-2"}]
    twirp.answer = (200, "application/json", json.dumps({"participants": people}).encode())
    assert [one.identity for one in service(twirp).present("hall")] == ["hub-watcher-2"]
