"""What a real agent uploaded, sent to a real hub: taken at once, archived later, shown to operators.

Covers

    streaming_hub.archive.uploads.taking
    streaming_hub.web.api.telemetry
    streaming_hub.web.api.uploads
"""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import socket
import sqlite3
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streaming_hub.archive.uploads import otlp, spool
from tests.kit.hub import Hub
from tests.streaming_hub.archive.test_feed import archive_pid
from tests.streaming_hub.web.api.archiving import KEYS, OPERATOR, VIEWER, eventually, post, wait_for
from tests.uploads import replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACES = next(one for one in replay.uploads() if one.kind == "traces")
SESSION = replay.attached()[0]["session_id"]
SETTINGS = {**KEYS, **replay.PROJECT}


SOON = {"streaming_hub.archive.feed:CHORES": 1.0}
"""Chores that otherwise run every half minute."""


def started(folder: Path, **settings: str) -> Hub:
    return Hub(folder, changes=SOON, **SETTINGS | settings).start()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that got a call from `attach`, and what its agent uploaded."""
    server = started(tmp_path_factory.mktemp("uploads"))
    replay.send_all(server.url)
    post(server, replay.attached())
    wait_for(server, SESSION)
    eventually(lambda: waiting(server), 0.0)
    yield server
    server.kill()


def metric(server: Hub, name: str) -> float:
    lines = server.get("/metrics", **OPERATOR).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def not_in_archive(server: Hub, text: bytes) -> bool:
    """Say whether no file of the archive's and no upload has a text."""
    folder = server.folder / "data"
    files = [*folder.glob("archive.db*"), *(folder / "uploads").glob("*")]
    return not any(text in path.read_bytes() for path in files)


def waiting(server: Hub) -> float:
    return metric(server, "hub_uploads_waiting ")


def get(server: Hub, what: str, status: int = 200, session: str = SESSION, **headers: str) -> Any:
    answer = server.get(f"/api/sessions/{session}/{what}", **(headers or OPERATOR))
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_trace_has_the_stages_of_every_turn(server: Hub) -> None:
    trace = get(server, "trace")
    assert trace["dropped"] == 0
    turns = server.get(f"/api/sessions/{SESSION}", **OPERATOR).json()["turns"]
    assert [one["turn_id"] for one in trace["turns"]] == [turn["turn_id"] for turn in turns]
    assert len(turns) == 5
    for place, (one, turn) in enumerate(zip(trace["turns"], turns, strict=True)):
        names = [stage["name"] for stage in one["stages"]]
        assert {"agent_turn", "llm_node", "llm_request", "tts_node", "agent_speaking"} <= set(names)
        assert ("user_turn" in names) is (turn["user_text"] is not None) is (place > 0)
        assert ("function_tool" in names) is bool(turn["tools"])
        starts = [stage["started"] for stage in one["stages"]]
        assert starts == sorted(starts)
        request = next(stage for stage in one["stages"] if stage["name"] == "llm_request")
        assert (request["model"], request["retries"], request["error"]) == ("gpt-4o-mini", 0, None)
        assert request["input_tokens"] > 0 < request["output_tokens"]
    other = {stage["name"] for stage in trace["other"]}
    assert {"job_entrypoint", "session_close", "room_connect"} <= other


def test_the_log_comes_in_pages_by_time(server: Hub) -> None:
    whole = get(server, "logs?limit=200")
    assert (whole["next"], whole["dropped"]) == (None, 0)
    assert "closing agent session due to participant disconnect" in str(whole["lines"])
    assert {"info", "warning"} <= {line["level"] for line in whole["lines"]}
    assert {line["logger"] for line in whole["lines"]} >= {"livekit.agents"}
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = get(server, f"logs?limit=2&cursor={cursor}")
        found += page["lines"]
        cursor = page["next"]
    assert found == whole["lines"]
    assert [line["at"] for line in found] == sorted(line["at"] for line in found)


def test_prompts_are_not_kept(server: Hub) -> None:
    assert "SECRET-PROMPT" not in str(get(server, "trace"))
    assert not_in_archive(server, b"SECRET-PROMPT")


def test_only_operators_see_them(server: Hub) -> None:
    for what in ("trace", "logs"):
        get(server, what, 403, **VIEWER)
        get(server, what, 404, session="none")
        assert requests.get(f"{server.url}/api/sessions/{SESSION}/{what}", timeout=20).status_code == 401
    assert get(server, "trace?frm=1", 400)["field"] == "frm"
    assert get(server, "logs?cursor=x", 400)["field"] == "cursor"


def test_the_uploads_are_counted(server: Hub) -> None:
    for kind in ("traces", "logs", "metrics", "recordings"):
        sent = sum(one.kind == kind for one in replay.uploads())
        assert metric(server, f'hub_uploads_total{{kind="{kind}",outcome="accepted"}}') == sent
    assert metric(server, 'hub_upload_items_total{outcome="kept"}') > 100


def test_a_token_of_an_agent_opens_nothing_else(server: Hub) -> None:
    bearer = {"Authorization": f"Bearer {replay.token()}"}
    for path in ("/api/sessions", f"/api/sessions/{SESSION}/trace", "/api/events", "/metrics"):
        assert server.get(path, **bearer).status_code == 401


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub without any call, for tests whose uploads reach no session."""
    server = started(tmp_path_factory.mktemp("bare"))
    yield server
    server.kill()


@pytest.fixture
def fresh(tmp_path: Path, hubs: list[Hub]) -> Any:
    def begin(**settings: str) -> Hub:
        hubs.append(started(tmp_path, **settings))
        return hubs[-1]

    return begin


def test_repeats_are_dropped(fresh: Any) -> None:
    server = fresh()
    replay.send_all(server.url, kinds=("traces", "logs"))
    eventually(lambda: waiting(server), 0.0)
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="kept"}') > 0, True)
    kept = metric(server, 'hub_upload_items_total{outcome="kept"}')
    replay.send_all(server.url, kinds=("traces", "logs"))
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="repeated"}'), kept)
    assert metric(server, 'hub_upload_items_total{outcome="kept"}') == kept


def refused(server: Hub, one: replay.Upload = TRACES, **options: Any) -> int:
    return replay.send(server.url, one, **options).status_code


def test_what_is_refused(bare: Hub) -> None:
    assert refused(bare, bearer="none") == 401
    assert refused(bare, bearer=replay.token(iss="another")) == 401
    assert refused(bare, body=b"no gzip") == 400
    assert refused(bare, body=gzip.compress(b"\xff\xff")) == 400
    assert refused(bare, body=gzip.compress(bytes(17 * 1024 * 1024))) == 413
    assert refused(bare, body=bytes(65 * 1024 * 1024)) == 413
    assert refused(bare, **{"content-type": "text/plain"}) == 415
    assert refused(bare, **{"content-encoding": "br"}) == 415
    recording = next(one for one in replay.uploads() if one.kind == "recordings")
    assert refused(bare, recording, body=recording.body[:-20]) == 400
    assert refused(bare, recording) == 200
    assert refused(bare) == 200
    assert metric(bare, 'hub_uploads_total{kind="traces",outcome="too_large"}') == 2
    assert metric(bare, 'hub_uploads_total{kind="traces",outcome="refused"}') == 2
    assert metric(bare, 'hub_uploads_total{kind="traces",outcome="undecodable"}') >= 2


@pytest.mark.parametrize("settings", [{"STREAM_OBSERVABILITY": "off"}, {"LIVEKIT_API_SECRET": ""}])
def test_off_is_said_in_the_words_that_make_the_sdk_stop(fresh: Any, settings: dict[str, str]) -> None:
    from livekit.agents.telemetry.traces import _UploadGate

    answer = replay.send(fresh(**settings).url, TRACES)
    assert answer.status_code == 401
    assert _UploadGate.is_disabled_response(answer.status_code, answer.content)


def test_chunked_bodies_are_taken(fresh: Any) -> None:
    server = fresh()

    def pieces() -> Iterator[bytes]:
        for first in range(0, len(TRACES.body), 100):
            yield TRACES.body[first : first + 100]

    headers = {"content-type": TRACES.content_type, "content-encoding": TRACES.encoding}
    bearer = {"Authorization": f"Bearer {replay.token()}"}
    with requests.Session() as session:
        for _ in range(2):
            answer = session.post(
                server.url + TRACES.path, data=pieces(), headers=headers | bearer, timeout=30
            )
            assert answer.status_code == 200
        # The connection is still good for another request.
        assert session.get(f"{server.url}/api/health", timeout=30).status_code == 200
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="kept"}') > 0, True)


def test_a_refused_body_is_not_read_as_the_next_request(bare: Hub) -> None:
    smuggled = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"POST {TRACES.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(smuggled)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", bare.port), timeout=30) as sock:
        sock.sendall(head.encode() + smuggled)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.count(b"HTTP/1.1") == 1


def test_uploads_survive_a_kill_and_wait_for_a_database_that_is_away(fresh: Any) -> None:
    server = fresh()
    eventually(lambda: server.get("/api/health").json()["archive"], "ok")
    hanging = archive_pid(server)
    os.kill(hanging, signal.SIGSTOP)
    replay.send_all(server.url, kinds=("traces", "logs"))
    assert waiting(server) > 0
    os.killpg(server.process.pid, signal.SIGKILL)
    os.kill(hanging, signal.SIGKILL)
    server.process.wait(20)
    again = fresh()
    post(again, replay.attached())
    wait_for(again, SESSION)
    eventually(lambda: waiting(again), 0.0)
    assert len(get(again, "trace")["turns"]) == 5


def test_a_full_spool_drops_uploads_says_so_and_takes_the_next_ones(fresh: Any) -> None:
    server = fresh()
    eventually(lambda: server.get("/api/health").json()["archive"], "ok")
    # Nothing is taken out of the spool, which others fill; sparse, so it takes no disk.
    os.kill(archive_pid(server), signal.SIGSTOP)
    folder = server.folder / "data" / "uploads"
    folder.mkdir(mode=0o700)
    others = folder / f"{'9' * 20}-1-00000001{spool.SUFFIX}"
    with others.open("wb") as file:
        file.truncate(spool.MAX_BYTES)
    dropped = 'hub_uploads_total{kind="traces",outcome="dropped"}'
    for _ in range(3):
        answer = replay.send(server.url, TRACES)
        assert (answer.status_code, answer.content) == (200, b""), (
            "another answer would hold up the agent's job"
        )
    assert metric(server, dropped) == 3
    assert "an agent's upload is lost" in server.log
    assert f"{folder} is full: 1 uploads" in server.log
    assert "Traceback" not in server.log
    others.unlink()
    replay.send_all(server.url, kinds=("traces", "logs"))
    # The process that stands still is replaced.
    eventually(lambda: waiting(server), 0.0, 90)
    assert metric(server, dropped) == 3
    assert metric(server, 'hub_upload_items_total{outcome="kept"}') > 100


def test_erasing_reaches_them_and_late_uploads_stay_out(fresh: Any) -> None:
    server = fresh()
    post(server, replay.attached())
    replay.send_all(server.url, kinds=("traces", "logs"))
    wait_for(server, SESSION)
    eventually(lambda: len(get(server, "trace")["turns"]), 5)
    answer = requests.delete(f"{server.url}/api/sessions/{SESSION}", headers=OPERATOR, timeout=60)
    assert answer.status_code == 200, answer.text
    assert not_in_archive(server, b"AJ_")
    replay.send_all(server.url, kinds=("traces", "logs"))
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="erased"}') > 0, True)
    eventually(lambda: waiting(server), 0.0)
    assert not_in_archive(server, b"AJ_")


def test_many_agents_upload_at_once_and_the_hub_answers_meanwhile(bare: Hub) -> None:
    large = b"--b\r\n" + bytes(20 * 1024 * 1024) + b"\r\n--b--\r\n"
    recording = replay.Upload(
        0, "/observability/recordings/v0", {"content-type": "multipart/form-data; boundary=b"}, large
    )
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(replay.send, bare.url, recording) for _ in range(4)]
        sent += [pool.submit(replay.send, bare.url, TRACES) for _ in range(40)]
        while not all(one.done() for one in sent):
            assert requests.get(f"{bare.url}/api/health", timeout=20).status_code == 200
            time.sleep(0.02)
    assert {one.result().status_code for one in sent} == {200}


def test_what_belongs_to_no_job_is_counted_and_ignored(bare: Hub) -> None:
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"n","traceId":"00","spanId":"11"}]}]}]}'
    headers = {"content-type": "application/json"}
    one = replay.Upload(0, TRACES.path, headers, body)
    answer = replay.send(bare.url, one)
    assert (answer.status_code, answer.content) == (200, b"{}")
    eventually(lambda: metric(bare, 'hub_upload_items_total{outcome="unknown"}'), 1.0)


JOB = next(event["job_id"] for event in replay.attached() if "job_id" in event)
TALKED = ("traces", "logs")


def stored(server: Hub, query: str, **caller: str) -> list[dict[str, Any]]:
    return server.get(f"/api/events?limit=1000&{query}", **(caller or OPERATOR)).json()["events"]


def finals(events: list[dict[str, Any]]) -> list[Any]:
    turns: dict[str, int] = {}
    return [
        (one["role"], one["text"], turns.setdefault(one["turn_id"], len(turns)))
        for one in events
        if one["type"] == "transcript" and one["is_final"]
    ]


def test_a_session_that_nothing_else_reports_is_made_of_its_uploads(fresh: Any) -> None:
    server = fresh()
    replay.send_all(server.url, kinds=TALKED)
    wait_for(server, JOB)
    detail = server.get(f"/api/sessions/{JOB}", **OPERATOR).json()
    session = detail["session"]
    assert (session["room"], session["state"], session["reason"]) == (
        "support-7",
        "ended",
        "participant_disconnected",
    )
    assert (session["turns"], session["interruptions"], session["tool_calls"], session["tool_failures"]) == (
        5,
        1,
        1,
        0,
    )
    assert {one["identity"] for one in session["participants"]} == {"alice", f"agent-{JOB}"}
    assert finals(stored(server, f"session_id={JOB}")) == finals(replay.attached())
    assert session["latency"]["count"] == session["heard_latency"]["count"] == 4
    trace = get(server, "trace", session=JOB)
    assert [one["turn_id"] for one in trace["turns"]] == [turn["turn_id"] for turn in detail["turns"]]
    assert finals(stored(server, f"session_id={JOB}", **VIEWER)) == finals(replay.attached())
    # All of it again changes nothing.
    before = stored(server, f"session_id={JOB}")
    replay.send_all(server.url, kinds=TALKED)
    eventually(lambda: waiting(server), 0.0)
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="repeated"}') > 0, True)
    assert stored(server, f"session_id={JOB}") == before


def test_a_session_that_attach_reports_gets_nothing_twice(server: Hub) -> None:
    time.sleep(2)
    assert stored(server, f"session_id={JOB}") == []
    assert finals(stored(server, f"session_id={SESSION}")) == finals(replay.attached())


def test_a_session_of_uploads_gives_way_to_one_that_is_reported_later(fresh: Any) -> None:
    server = fresh()

    def listed() -> list[str]:
        return [one["session_id"] for one in server.get("/api/sessions", **OPERATOR).json()["sessions"]]

    eventually(lambda: server.get("/api/health").json()["archive"], "ok")
    for one in [one for one in replay.uploads() if one.kind == "traces"][:2]:
        replay.send(server.url, one)
    eventually(listed, [JOB])
    post(server, replay.attached())
    eventually(listed, [SESSION], 90)
    ends = [one["reason"] for one in stored(server, f"session_id={JOB}") if one["type"] == "session_ended"]
    assert ends == ["replaced"]


def test_a_kill_between_two_uploads_loses_nothing_and_repeats_nothing(fresh: Any) -> None:
    server = fresh()
    sent = [one for one in replay.uploads() if one.kind in TALKED]
    for place, one in enumerate(sent):
        assert replay.send(server.url, one).status_code == 200
        if place % 5 == 3:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(20)
            server = fresh()
    wait_for(server, JOB)
    events = stored(server, f"session_id={JOB}")
    assert finals(events) == finals(replay.attached())
    ids = [one["event_id"] for one in events if "event_id" in one]
    assert len(set(ids)) == len(ids)


def test_words_pass_the_operators_hook_and_nothing_else_keeps_them(fresh: Any) -> None:
    server = fresh(STREAM_REDACT="tests.uploads.hook:mask")
    replay.send_all(server.url, kinds=TALKED)
    wait_for(server, JOB)
    assert {one["text"] for one in stored(server, f"session_id={JOB}") if "text" in one} == {"***"}
    assert get(server, "logs", session=JOB)["lines"] == []
    assert len(get(server, "trace", session=JOB)["turns"]) == 5
    assert not_in_archive(server, b"Hello there")
    assert not_in_archive(server, b"small boat")


def test_a_redacted_call_waits_for_its_rooms_name_and_has_no_words(fresh: Any) -> None:
    server = fresh()
    traces = [one for one in replay.uploads(replay.REDACTED) if one.kind == "traces"]
    for one in traces:
        assert replay.send(server.url, one).status_code == 200
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="kept"}') > 50, True)
    assert stored(server, "type=session_started") == []
    span = next(otlp.spans(traces[0].content_type, otlp.unpacked(traces[0].body, traces[0].encoding)))
    told = {"type": "room_started", "room": "support-7", "room_sid": span.attributes["room_id"]}
    post(server, [told])
    wait_for(server, span.job)
    detail = server.get(f"/api/sessions/{span.job}", **OPERATOR).json()
    assert detail["transcript"] == []
    assert detail["session"]["room"] == "support-7"
    assert detail["session"]["turns"] == 5
    assert detail["session"]["latency"]["count"] == 4


def marked(job: str) -> bytes:
    """Return spans of a job that carry LiveKit's mark for redaction, as OTLP."""
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            name="agent_turn",
            trace_id=b"t" * 16,
            span_id=b"m" * 8,
            start_time_unix_nano=1,
            end_time_unix_nano=2,
        )
    )
    span.attributes.add(key="job_id").value.string_value = job
    span.attributes.add(key="lk.redaction.enabled").value.bool_value = True
    return request.SerializeToString()


@pytest.mark.parametrize("ended", [True, False], ids=["after its end", "before its end"])
@pytest.mark.parametrize("recordings", ["on", "off"])
def test_a_mark_that_comes_late_takes_the_words_out_of_all_that_was_published(
    fresh: Any, recordings: str, ended: bool
) -> None:
    server = fresh(STREAM_ARCHIVE_RECORDINGS=recordings)
    sent = [one for one in replay.uploads() if one.kind in TALKED]
    ends = [
        one for one in sent if one.kind == "traces" and any(s.name == "session_close" for s in spans_of(one))
    ]
    for one in sent:
        if ended or one not in ends:
            assert replay.send(server.url, one).status_code == 200
    wait_for(server, JOB, ended=ended)
    eventually(lambda: waiting(server), 0.0)
    before = finals(stored(server, f"session_id={JOB}"))
    assert any("small boat" in text for _, text, _ in before)
    eventually(lambda: len(server.get("/api/sessions?q=boat", **OPERATOR).json()["sessions"]), 1)
    assert replay.send(server.url, TRACES, body=gzip.compress(marked(JOB))).status_code == 200

    def texts() -> set[str]:
        return {one["text"] for one in stored(server, f"session_id={JOB}&type=transcript")}

    eventually(texts, {""})
    # Each segment is replaced, so that a page that showed it shows it no more.
    after = finals(stored(server, f"session_id={JOB}"))
    assert [(role, turn) for role, _, turn in after] == [(role, turn) for role, _, turn in before]
    lines = server.get("/api/rooms/support-7", **OPERATOR).json()["transcript"]
    assert {line["text"] for line in lines} == {""}
    calls = stored(server, f"session_id={JOB}&type=tool_call_started")
    assert [(one["name"], one["arguments"]) for one in calls] == [("current_time", None)]

    def detail() -> Any:
        return server.get(f"/api/sessions/{JOB}", **OPERATOR).json()

    eventually(lambda: detail()["transcript"], [])
    assert {(turn["user_text"], turn["agent_text"]) for turn in detail()["turns"]} == {(None, None)}
    assert detail()["session"]["turns"] == 5
    if not ended:
        for one in ends:
            assert replay.send(server.url, one).status_code == 200
    eventually(lambda: detail()["session"]["state"], "ended")
    assert detail()["transcript"] == []
    assert server.get("/api/sessions?q=boat", **OPERATOR).json()["sessions"] == []
    for word in (b"small boat", b"Hello there", b"Europe/London"):
        eventually(lambda word=word: not_on_disk(server, word), True, 60)  # type: ignore[misc]


def not_on_disk(server: Hub, text: bytes) -> bool:
    """Say whether neither the history nor the archive nor an upload has a text, compressed or not."""
    folder = server.folder / "data"
    if any(text in path.read_bytes() for path in folder.glob("*.db*")):
        return False
    with contextlib.closing(sqlite3.connect(folder / "archive.db")) as database:
        for table in ("recordings", "archive_live_events", "archive_states", "archive_spans"):
            rows = database.execute(f"SELECT data FROM {table}").fetchall()
            if any(text in zlib.decompress(data) for (data,) in rows):
                return False
    return True


def test_their_event_ids_cannot_be_posted(bare: Hub) -> None:
    answer = bare.post({"type": "mine", "event_id": f"upload:{JOB}:x:1"}, **{"X-API-Key": "publish-key"})
    assert answer.status_code == 422


def test_the_transcript_is_held_against_livekits_chat_history(server: Hub) -> None:
    def told(session: str, **caller: str) -> Any:
        return server.get(f"/api/sessions/{session}", **(caller or OPERATOR)).json()["reconciliation"]

    assert told(SESSION) == {"complete": True, "missing": [], "unexpected": []}
    assert told(SESSION, **VIEWER) is None


def test_the_operators_hook_is_applied_to_both_before_they_are_compared(fresh: Any) -> None:
    server = fresh(STREAM_REDACT="tests.uploads.hook:mask")
    post(server, replay.attached())
    wait_for(server, SESSION)
    replay.send_all(server.url)

    def told() -> Any:
        return server.get(f"/api/sessions/{SESSION}", **OPERATOR).json()["reconciliation"]

    found = eventually(told, lambda found: found is not None)
    assert found == {"complete": True, "missing": [], "unexpected": []}
    # The database's log is emptied just after the report is there.
    eventually(lambda: not_in_archive(server, b"Hello there"), True)


@pytest.mark.parametrize(
    "left",
    [
        {"type": "participant_left", "participant": f"agent-{JOB}", "role": "agent"},
        {"type": "room_finished"},
    ],
    ids=lambda left: left["type"],
)
def test_it_is_noted_that_a_jobs_agent_has_gone(fresh: Any, left: dict[str, Any]) -> None:
    server = fresh()
    replay.send_all(server.url, kinds=("traces",))
    wait_for(server, JOB)
    sid = stored(server, "type=session_started")[0]["room_sid"]
    post(server, [{**left, "room": "support-7", "room_sid": sid}])

    def gone() -> bool:
        with contextlib.closing(sqlite3.connect(server.folder / "data" / "archive.db")) as archive:
            return archive.execute("SELECT gone FROM archive_jobs").fetchone()[0] is not None

    eventually(gone, True)


def test_a_message_that_was_lost_is_named_and_counted(fresh: Any) -> None:
    server = fresh()
    lost = next(
        one for one in replay.attached() if one.get("text") == "You said: Hello there." and one["is_final"]
    )
    post(
        server, [one for one in replay.attached() if one is not lost and one["event_id"] != lost["event_id"]]
    )
    replay.send_all(server.url, kinds=("recordings",))
    wait_for(server, SESSION)

    def told() -> Any:
        return server.get(f"/api/sessions/{SESSION}", **OPERATOR).json()["reconciliation"]

    found = eventually(told, lambda found: found is not None)
    assert found["complete"] is False
    assert [(one["role"], one["text"]) for one in found["missing"]] == [("agent", "You said: Hello there.")]
    assert found["unexpected"] == []
    eventually(lambda: metric(server, "hub_reconciliation_missing_total"), 1.0, 60)


def test_a_recording_ends_a_session_and_has_its_usage(fresh: Any) -> None:
    server = fresh()
    for one in replay.uploads():
        names = [span.name for span in spans_of(one)] if one.kind == "traces" else []
        if "session_close" not in names and "job_entrypoint" not in names and "agent_session" not in names:
            assert replay.send(server.url, one).status_code == 200
    wait_for(server, JOB)
    detail = server.get(f"/api/sessions/{JOB}", **OPERATOR).json()
    assert detail["session"]["reason"] == "participant_disconnected"
    assert {model["type"] for model in detail["session"]["usage"]} == {"llm_usage", "tts_usage", "stt_usage"}
    assert detail["reconciliation"] == {"complete": True, "missing": [], "unexpected": []}


def spans_of(one: replay.Upload) -> list[otlp.Span]:
    return list(otlp.spans(one.content_type, otlp.unpacked(one.body, one.encoding)))


def test_a_redacted_recording_leaves_nothing(fresh: Any) -> None:
    server = fresh()
    post(server, replay.attached(replay.REDACTED))
    replay.send_all(server.url, replay.REDACTED)
    session = replay.attached(replay.REDACTED)[0]["session_id"]
    wait_for(server, session)
    eventually(lambda: waiting(server), 0.0)
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="kept"}') > 50, True)
    assert server.get(f"/api/sessions/{session}", **OPERATOR).json()["reconciliation"] is None
