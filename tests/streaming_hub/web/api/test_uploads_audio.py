"""The audio of a real call, uploaded to a real hub: kept where it is asked for, played in parts, gone with its session.

Covers

    streaming_hub.archive.uploads.audio
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
import requests

from streaming_hub.archive.uploads import recording
from streaming_hub.archive.uploads.telemetry import mark
from tests.kit.hub import Hub
from tests.streaming_hub.web.api.archiving import KEYS, OPERATOR, VIEWER, eventually, post, wait_for
from tests.uploads import replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ON = {**KEYS, **replay.PROJECT, "STREAM_ARCHIVE_AUDIO": "on"}
RECORDING = next(one for one in replay.uploads() if one.kind == "recordings")
SOUND = recording.read(RECORDING.content_type, RECORDING.body)
SESSION = replay.attached()[0]["session_id"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    running = started(tmp_path)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with the audio of one call, for the tests that only read it."""
    running = started(tmp_path_factory.mktemp("kept"))
    uploaded(running)
    eventually(lambda: audio(running).status_code, 200)
    yield running
    running.kill()


def started(folder: Path, **settings: str) -> Hub:
    return Hub(folder, **ON | settings).start()


def uploaded(server: Hub, version: str = replay.VERSION) -> str:
    """Send a call and its uploads; return its session."""
    post(server, replay.attached(version))
    session: str = replay.attached(version)[0]["session_id"]
    wait_for(server, session)
    replay.send_all(server.url, version)
    return session


def session_of(server: Hub, session: str = SESSION, **headers: str) -> Any:
    return server.get(f"/api/sessions/{session}", **(headers or OPERATOR)).json()["session"]


def audio(server: Hub, session: str = SESSION, **headers: str) -> requests.Response:
    return server.get(f"/api/sessions/{session}/audio", **{**OPERATOR, **headers})


def files(server: Hub) -> list[Path]:
    return sorted((server.folder / "data" / "audio").glob("*"))


def test_it_is_what_the_agent_sent_and_on_the_sessions_clock(kept: Hub) -> None:
    whole = audio(kept)
    assert (whole.content, whole.headers["Content-Type"]) == (SOUND.audio, "audio/ogg")
    assert whole.headers["Cache-Control"] == "no-store"
    assert whole.headers["Accept-Ranges"] == "bytes"
    told = session_of(kept)
    assert (told["audio"], told["recording_start"]) == (True, pytest.approx(SOUND.start))
    assert told["started"] - 5 < told["recording_start"] < told["started"] + 10
    (listed,) = kept.get("/api/sessions", **OPERATOR).json()["sessions"]
    assert (listed["audio"], listed["recording_start"]) == (True, told["recording_start"])
    (file,) = files(kept)
    assert file.name == f"{mark(SOUND.job)}.ogg"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [("bytes=0-99", 206, 0, 99), ("bytes=100-", 206, 100, -1), ("bytes=-50", 206, -50, -1)],
)
def test_parts_of_it(kept: Hub, asked: str, status: int, first: int, last: int) -> None:
    part = audio(kept, Range=asked)
    end = None if last == -1 else last + 1
    assert (part.status_code, part.content) == (status, SOUND.audio[first:end])
    assert part.headers["Content-Range"].endswith(f"/{len(SOUND.audio)}")
    beyond = audio(kept, Range=f"bytes={len(SOUND.audio)}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(SOUND.audio)}")


def test_viewers_do_not_hear_it(kept: Hub) -> None:
    assert kept.get(f"/api/sessions/{SESSION}/audio", **VIEWER).status_code == 403
    assert kept.get(f"/api/sessions/{SESSION}/audio").status_code == 401
    told = session_of(kept, **VIEWER)
    assert (told["audio"], told["recording_start"]) == (None, None)
    assert audio(kept, "none").status_code == 404


def test_erasing_a_session_takes_its_file_before_the_answer(server: Hub) -> None:
    uploaded(server)
    eventually(lambda: audio(server).status_code, 200)
    assert requests.delete(f"{server.url}/api/sessions/{SESSION}", headers=OPERATOR, timeout=60).ok
    assert files(server) == []
    replay.send_all(server.url, kinds=("recordings",))
    eventually(lambda: waiting(server), 0)
    assert files(server) == []


def waiting(server: Hub) -> int:
    return len(list((server.folder / "data" / "uploads").glob("*.upload")))


def test_it_goes_when_its_session_expires(tmp_path: Path) -> None:
    server = started(tmp_path, STREAM_ARCHIVE_MAX_AGE="0")
    try:
        uploaded(server)
        eventually(lambda: audio(server).status_code, 200)
        # A young file may belong to an upload that another node is taking.
        os.utime(files(server)[0], (0, 0))
    finally:
        server.kill()
    again = started(tmp_path, STREAM_ARCHIVE_MAX_AGE="1")
    try:
        eventually(lambda: files(again), [])
    finally:
        again.kill()


@pytest.mark.parametrize(
    "settings", [{"STREAM_ARCHIVE_AUDIO": "off"}, {"STREAM_REDACT": "tests.uploads.hook:mask"}]
)
def test_it_is_not_kept_unless_asked_for_nor_where_words_are_redacted(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    server = started(tmp_path, **settings)
    try:
        uploaded(server)
        eventually(lambda: waiting(server), 0)
        assert audio(server).status_code == 404
        assert session_of(server)["audio"] is False
        assert files(server) == []
    finally:
        server.kill()


def test_under_livekits_redaction_it_is_not_kept(server: Hub) -> None:
    session = uploaded(server, replay.REDACTED)
    eventually(lambda: waiting(server), 0)
    assert audio(server, session).status_code == 404
    assert files(server) == []


def test_what_no_session_speaks_for_is_swept_away(server: Hub) -> None:
    uploaded(server)
    eventually(lambda: audio(server).status_code, 200)
    stray = files(server)[0].with_name(f"{'0' * 64}.ogg")
    stray.write_bytes(b"OggS")
    music = files(server)[0].with_name("song.ogg")
    music.write_bytes(b"OggS")
    for path in (stray, music):
        os.utime(path, (0, 0))
    post(server, [{"type": "session_started", "session_id": "other", "room": "den"}])
    wait_for(server, "other", ended=False)
    assert requests.delete(f"{server.url}/api/sessions/other", headers=OPERATOR, timeout=60).ok
    assert sorted(path.name for path in files(server)) == sorted([f"{mark(SOUND.job)}.ogg", "song.ogg"])


def test_a_folder_of_ones_own_and_what_it_needs(tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    server = started(tmp_path, STREAM_ARCHIVE_AUDIO_DIR=str(place))
    try:
        uploaded(server)
        eventually(lambda: audio(server).status_code, 200)
        assert [path.suffix for path in place.iterdir()] == [".ogg"]
    finally:
        server.kill()
    refused = Hub(tmp_path, **ON | {"LIVEKIT_API_SECRET": ""}).spawn()
    assert refused.wait() != 0
    assert "STREAM_ARCHIVE_AUDIO=on needs" in refused.log
