"""attach(): what it listens to, what it lets through, and that it never disturbs the session.

Covers streaming_hub_client/words.py: where the tap for words stands in LiveKit's chain.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice import events as lk
from livekit.agents.voice import io, room_io
from streaming_hub_client import attachment as shell
from streaming_hub_client import bridge
from streaming_hub_client.attachment import attach
from streaming_hub_client.ending import _Ending, announce_end, ask_for_end

from agent.rehearsal.models import ScriptedLLM
from tests.kit.fake_hub import DEADLINE, FakeHub
from tests.kit.wait import until
from tests.packages.python.talks import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from streaming_hub_client.conversation import Event


class Session(rtc.EventEmitter[str]):
    """What attach needs of an AgentSession, without models."""

    current_speech = None

    def __init__(self) -> None:
        super().__init__()
        self.started_with: dict[str, Any] = {}

    @property
    def room_io(self) -> Any:
        raise RuntimeError("not started with a room")

    async def start(self, agent: Any, **options: Any) -> str:
        self.started_with = {"agent": agent, **options}
        return "started"

    def say(self, text: str, *, final: bool = True) -> None:
        self.emit("user_input_transcribed", lk.UserInputTranscribedEvent(transcript=text, is_final=final))


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose end was not announced."""
    monkeypatch.setattr("streaming_hub_client.ending._ending", _Ending())


@pytest.fixture
def session() -> Any:
    return Session()


@pytest.fixture
def poster() -> Recorder:
    return Recorder()


def test_a_real_session_in_text_mode_is_streamed(poster: Recorder) -> None:
    async def talk() -> None:
        async with AgentSession(llm=ScriptedLLM()) as real:
            attach(real, room="r1", session_id="S1", poster=poster)
            await real.start(Agent(instructions="be brief"))
            await real.run(user_input="Thank you, goodbye.")

    asyncio.run(talk())
    assert poster.types()[0] == "session_started"
    assert poster.types()[-1] == "session_ended"
    finals = [(e["role"], e["text"]) for e in poster.events if e["type"] == "transcript" and e["is_final"]]
    assert finals == [("user", "Thank you, goodbye."), ("agent", "You are welcome. Goodbye!")]
    assert {(event["room"], event["session_id"]) for event in poster.events} == {("r1", "S1")}


def test_every_row_of_the_table_is_listened_to(session: Any, poster: Recorder) -> None:
    heard: list[str] = []
    session.on = lambda name, _callback: heard.append(name)
    attach(session, poster=poster)
    assert sorted(heard) == sorted(bridge.TABLE)


def test_flush_takes_seconds_by_name_and_returns_whether_everything_was_sent(
    session: Any, poster: Recorder
) -> None:
    assert attach(session, poster=poster).flush(seconds=1.0) is True


def test_types_choose_what_is_sent(session: Any, poster: Recorder) -> None:
    attach(session, poster=poster, types={"transcript"})
    session.say("Hello")
    assert poster.types() == ["transcript"]


def test_finals_only(session: Any, poster: Recorder) -> None:
    stream = attach(session, poster=poster, interims=False)
    session.say("Hel", final=False)
    session.say("Hello")
    asyncio.run(stream.words.capture_text("word"))
    assert [event["is_final"] for event in poster.events if event["type"] == "transcript"] == [True]


def test_redact_changes_or_keeps_back(session: Any, poster: Recorder) -> None:
    def redact(event: Event) -> Event | None:
        if event["type"] == "session_started":
            return None
        return {**event, "text": event["text"].replace("4111", "****")}

    attach(session, poster=poster, redact=redact)
    session.say("my card is 4111")
    assert [event["text"] for event in poster.events] == ["my card is ****"]


def test_a_redaction_that_fails_sends_nothing_and_disturbs_nothing(
    session: Any, poster: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def redact(event: Event) -> Event:
        raise TypeError(event["type"])

    attach(session, poster=poster, redact=redact)
    session.say("secret")
    assert poster.types() == ["events_dropped", "events_dropped"]
    assert "secret" not in str(poster.events)
    assert "redact failed; an event of type 'transcript' was not sent" in caplog.text


def test_a_redaction_that_fails_once_costs_that_event_alone(session: Any, poster: Recorder) -> None:
    def redact(event: Event) -> Event:
        if event["type"] in {"session_started", "order_placed"}:
            raise KeyError("missing")
        return event

    stream = attach(session, poster=poster, redact=redact, session_id="S1")
    session.say("Hello")  # begins the session with the same list of events
    stream.post("order_placed", number=7)
    assert poster.types() == ["events_dropped", "transcript", "events_dropped"]
    assert [event["count"] for event in poster.events if event["type"] == "events_dropped"] == [1, 1]
    assert {event["session_id"] for event in poster.events} == {"S1"}


def test_a_payload_that_is_not_understood_disturbs_nothing(
    session: Any, poster: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    attach(session, poster=poster)
    session.emit("user_input_transcribed", object())  # rtc's emitter lets a TypeError through
    session.say("Hello")
    assert "could not stream the session event user_input_transcribed" in caplog.text
    assert poster.types() == ["events_dropped", "session_started", "transcript"]
    assert poster.events[0]["reason"] == "the session event user_input_transcribed could not be streamed"


def test_words_that_fail_to_be_sent_disturb_nothing(session: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        def post(self, event: Event) -> None:
            raise RuntimeError("no queue")

    stream = attach(session, poster=Broken())
    session.emit(
        "agent_state_changed", lk.AgentStateChangedEvent(old_state="listening", new_state="speaking")
    )
    asyncio.run(stream.words.capture_text("Hello"))
    assert "the poster failed; an event of type 'transcript' is lost" in caplog.text


def test_events_of_ones_own(session: Any, poster: Recorder) -> None:
    stream = attach(session, poster=poster, room="r1", session_id="S1")
    stream.post("order_placed", number=7)
    assert poster.events[0]["type"] == "order_placed"
    assert poster.events[0]["number"] == 7
    assert (poster.events[0]["room"], poster.events[0]["session_id"]) == ("r1", "S1")


def test_each_session_gets_an_id_of_its_own(poster: Recorder) -> None:
    ids = {attach(Session(), poster=poster).session_id for _ in range(3)}  # type: ignore[arg-type]
    assert len(ids) == 3


def close(session: Session, reason: lk.CloseReason = lk.CloseReason.USER_INITIATED) -> None:
    session.emit("close", lk.CloseEvent(reason=reason))


def test_announce_end_gives_live_sessions_their_reason(session: Any, poster: Recorder) -> None:
    stream = attach(session, poster=poster)
    announce_end("agent_stopped")
    close(session)
    assert poster.events[-1]["reason"] == "agent_stopped"
    assert stream.session_id == poster.events[-1]["session_id"]


def test_session_that_is_attached_after_the_announcement_has_its_reason_too(poster: Recorder) -> None:
    announce_end("agent_stopped")
    late: Any = Session()
    attach(late, poster=poster)
    close(late)
    assert poster.events[-1]["reason"] == "agent_stopped"


def test_a_job_in_a_process_of_its_own_asks_why_it_ends(session: Any, poster: Recorder) -> None:
    known: list[str] = []
    attach(session, poster=poster)
    ask_for_end(lambda: known[0] if known else None)
    session.emit("agent_state_changed", lk.AgentStateChangedEvent(old_state="idle", new_state="listening"))
    known.append("agent_stopped")
    close(session)
    assert poster.events[-1]["reason"] == "agent_stopped"


class Wire(io.TextOutput):
    """A text output that was there before."""

    def __init__(self) -> None:
        super().__init__(label="wire", next_in_chain=None)
        self.got: list[str] = []

    async def capture_text(self, text: str) -> None:
        self.got.append(text)

    def flush(self) -> None:
        self.got.append("|")


class TestRoomWords:
    """The words' tap is put behind the room's synchronizer through `start`."""

    def start(self, session: Any, **options: Any) -> room_io.RoomOptions:
        assert asyncio.run(session.start("agent", **options)) == "started"
        options = session.started_with["room_options"]
        assert isinstance(options, room_io.RoomOptions)
        return options

    def test_without_options(self, session: Any, poster: Recorder) -> None:
        stream = attach(session, poster=poster)
        text = self.start(session, room=object()).get_text_output_options()
        assert text is not None
        assert text.next_in_chain is stream.words
        assert session.started_with["agent"] == "agent"

    def test_the_users_options_and_output_are_kept(self, session: Any, poster: Recorder) -> None:
        wire = Wire()
        mine = room_io.RoomOptions(
            close_on_disconnect=False, text_output=room_io.TextOutputOptions(next_in_chain=wire)
        )
        attach(session, poster=poster)
        options = self.start(session, room=object(), room_options=mine)
        text = options.get_text_output_options()
        assert text is not None
        assert options.close_on_disconnect is False
        session.emit(
            "agent_state_changed", lk.AgentStateChangedEvent(old_state="listening", new_state="speaking")
        )
        assert text.next_in_chain is not None
        asyncio.run(text.next_in_chain.capture_text("Hello"))
        text.next_in_chain.flush()
        assert wire.got == ["Hello", "|"]
        assert poster.events[-1]["text"] == "Hello"
        assert mine.get_text_output_options().next_in_chain is wire, "the user's own object is not changed"  # type: ignore[union-attr]

    def test_text_that_is_switched_off_stays_off(self, session: Any, poster: Recorder) -> None:
        attach(session, poster=poster)
        options = self.start(session, room=object(), room_options=room_io.RoomOptions(text_output=False))
        assert options.get_text_output_options() is None

    def test_without_a_room_nothing_is_touched(self, session: Any, poster: Recorder) -> None:
        attach(session, poster=poster)
        asyncio.run(session.start("agent"))
        assert session.started_with == {"agent": "agent"}


class Participant:
    def __init__(self, identity: str, reason: Any = None) -> None:
        self.identity = identity
        self.disconnect_reason = reason


class TestWhyItEnded:
    """LiveKit says `user_initiated` for most ends; the room knows better."""

    @pytest.fixture
    def room(self, session: Any, poster: Recorder) -> Any:
        room: rtc.EventEmitter[str] = rtc.EventEmitter()
        attach(session, poster=poster)._watch(room)  # type: ignore[arg-type]
        return room

    def test_an_agent_that_leaves_by_itself(self, session: Any, poster: Recorder, room: Any) -> None:
        room.emit("disconnected", rtc.DisconnectReason.CLIENT_INITIATED)
        close(session, lk.CloseReason.JOB_SHUTDOWN)
        assert poster.events[-1]["reason"] == "job_shutdown"

    def test_a_reason_that_is_newer_than_the_sdk(self, session: Any, poster: Recorder, room: Any) -> None:
        room.emit("participant_disconnected", Participant("user", 99))
        close(session)
        assert poster.events[-1]["reason"] == "disconnect_reason_99"

    def test_a_removed_user(self, session: Any, poster: Recorder, room: Any) -> None:
        room.emit("participant_disconnected", Participant("user", rtc.DisconnectReason.PARTICIPANT_REMOVED))
        close(session)
        assert poster.events[-1]["reason"] == "participant_removed"

    def test_a_connection_that_is_lost_is_reported_before_it_is_given_up(
        self, poster: Recorder, room: Any
    ) -> None:
        room.emit("reconnecting")
        told = poster.events[-1]
        assert (told["type"], told["source"], told["recoverable"]) == ("error", "room", True)

    def test_an_agent_that_lost_the_room_blames_no_participant(
        self, session: Any, poster: Recorder, room: Any
    ) -> None:
        room.emit("participant_disconnected", Participant("user"))
        room.emit("disconnected", rtc.DisconnectReason.CONNECTION_TIMEOUT)
        close(session)
        assert poster.events[-1]["reason"] == "room_disconnected"
        assert poster.events[-1]["disconnect_reason"] == "connection_timeout"

    def test_a_reason_that_the_agent_gave_itself_outlives_the_room(self, poster: Recorder) -> None:
        own: Any = Session()
        room: Any = rtc.EventEmitter()
        stream = attach(own, poster=poster)
        stream._watch(room)
        stream.ending("sold_out")
        room.emit("disconnected", rtc.DisconnectReason.UNKNOWN_REASON)
        close(own)
        assert poster.events[-1]["reason"] == "sold_out"

    def test_a_user_who_crashed(self, session: Any, poster: Recorder, room: Any) -> None:
        room.emit("participant_disconnected", Participant("user", rtc.DisconnectReason.STATE_MISMATCH))
        room.emit("disconnected", rtc.DisconnectReason.ROOM_DELETED)
        close(session)
        assert poster.events[-1]["reason"] == "participant_lost"
        assert poster.events[-1]["disconnect_reason"] == "state_mismatch"

    def test_a_user_who_came_back(self, session: Any, poster: Recorder, room: Any) -> None:
        room.emit("participant_disconnected", Participant("user"))
        room.emit("participant_connected", Participant("user"))
        close(session, lk.CloseReason.TASK_COMPLETED)
        assert poster.events[-1]["reason"] == "task_completed"

    def test_another_user(self, session: Any, poster: Recorder, room: Any) -> None:
        room.emit("participant_disconnected", Participant("listener"))
        close(session)
        assert poster.events[-1]["reason"] == "user_initiated"


def test_sessions_share_one_poster_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_posters", {})
    monkeypatch.setenv("STREAM_URL", "http://127.0.0.1:9")
    hub = {"url": "http://127.0.0.1:10", "key": "k"}
    streams = [attach(Session(), **options) for options in ({}, {}, hub, hub)]  # type: ignore[arg-type]
    usual, again, other, other_again = (stream._poster for stream in streams)
    assert usual is again
    assert other is other_again
    assert usual is not other
    assert usual.close(1)
    assert other.close(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_session_sends_to_each_hub_once(
    session: Any, poster: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    another = Recorder()
    first = attach(session, room="r", poster=poster)
    attach(session, room="r", poster=another)
    assert not caplog.records
    assert attach(session, room="elsewhere", poster=poster) is first
    assert "already attached to this hub" in caplog.text
    session.say("hello")
    for one in (poster, another):
        assert [event["text"] for event in one.events if event["type"] == "transcript"] == ["hello"]


@pytest.mark.parametrize("wrong", [None, "room", AgentSession])
def test_what_is_no_session_is_refused(wrong: Any, poster: Recorder) -> None:
    with pytest.raises(TypeError, match="attach needs an AgentSession as its first argument, not "):
        attach(wrong, poster=poster)


def test_a_forked_process_sends_by_itself() -> None:
    """As with `multiprocessing` and servers that fork their workers: the parent's threads do not exist there."""
    program = """
import os, sys
from streaming_hub_client.attachment import shared_poster
shared_poster().post({"type": "parent"})
assert shared_poster().flush(20)
child = os.fork()
if not child:
    shared_poster().post({"type": "child"})
    os._exit(0 if shared_poster().flush(20) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    with FakeHub() as hub:
        environment = {**os.environ, "STREAM_URL": hub.url}
        ran = subprocess.run([sys.executable, "-c", program], env=environment, timeout=120, check=False)
    assert ran.returncode == 0
    assert [event["type"] for event in hub.events] == ["parent", "child"]


def test_a_hub_that_is_named_gets_the_events(
    session: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shell, "_posters", {})
    monkeypatch.setenv("STREAM_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STREAM_PUBLISH_KEY", "another hub's")
    monkeypatch.setenv("AGENT_SPOOL_DIR", str(tmp_path))
    hub = FakeHub()
    stream = attach(session, url=hub.url, key="secret")
    session.say("Hello")
    until(lambda: spooled(tmp_path), what="events in a folder of the hub's own")
    assert list(tmp_path.glob("*.jsonl")) == []
    with hub:
        assert stream._poster.close(DEADLINE)
    assert [event["type"] for event in hub.events] == ["session_started", "transcript"]
    assert hub.requests[0].headers["Authorization"] == "Bearer secret"


def spooled(folder: Path) -> bool:
    return any(b"transcript" in path.read_bytes() for path in folder.glob("*/*.jsonl"))
