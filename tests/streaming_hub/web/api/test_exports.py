"""Downloads over HTTP: each format, live sessions, names of files."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from streaming_hub.web.api.exports import file_name
from tests.kit.hub import Hub
from tests.streaming_hub.web.api.archiving import KEYS, OPERATOR, VIEWER, call, post, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    server = Hub(tmp_path_factory.mktemp("exports"), **KEYS).start()
    post(server, call("one"))
    post(server, call("a/b"))
    post(server, call("live", ends=False))
    wait_for(server, "live", "one", "a/b", ended=False)
    yield server
    server.kill()


def export(server: Hub, asked: str, status: int = 200, **headers: str) -> requests.Response:
    answer = server.get(f"/api/sessions/{asked}", **(headers or OPERATOR))
    assert answer.status_code == status, answer.text
    return answer


@pytest.mark.parametrize(
    ("form", "media", "begins"),
    [
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<v alice>What time"),
        ("srt", "application/x-subrip; charset=utf-8", "1\n00:00:01,000 --> 00:00:02,500\nalice: What time"),
        ("md", "text/markdown; charset=utf-8", "# Session one\n"),
        ("txt", "text/plain; charset=utf-8", "Session one\n"),
        ("csv", "text/csv; charset=utf-8", "index,turn_id,"),
        ("json", "application/json", '{"session":{"session_id":"one"'),
    ],
)
@pytest.mark.parametrize("session_id", ["one", "live"])
def test_formats(server: Hub, session_id: str, form: str, media: str, begins: str) -> None:
    answer = export(server, f"{session_id}/export?format={form}")
    assert answer.headers["Content-Type"] == media
    assert answer.headers["Content-Disposition"] == f'attachment; filename="session-{session_id}.{form}"'
    assert answer.content.decode().startswith(begins.replace("one", session_id))


def test_json_is_what_the_session_answers(server: Hub) -> None:
    assert export(server, "one/export").json() == export(server, "one").json()


def test_viewers_get_the_viewers_view(server: Hub) -> None:
    for form in ("md", "txt", "json"):
        full = export(server, f"one/export?format={form}").text
        seen = export(server, f"one/export?format={form}", **VIEWER).text
        assert "overloaded" in full
        assert "overloaded" not in seen
        assert "clock" in full
        assert "clock" not in seen
    (row,) = csv.DictReader(io.StringIO(export(server, "one/export?format=csv", **VIEWER).text))
    assert (row["e2e_latency"], row["heard_latency"], row["tools"]) == ("", "1.5", "")


def test_what_is_refused(server: Hub) -> None:
    assert export(server, "one/export?format=doc", 400).json()["field"] == "format"
    assert export(server, "one/export?fromat=vtt", 400).json()["field"] == "fromat"
    export(server, "nobody/export", 404)
    export(server, f"{quote('a/b', safe='')}/export")


@pytest.mark.parametrize(
    ("session_id", "wanted"),
    [
        ("d74c", 'filename="session-d74c.vtt"'),
        ("a/b", 'filename="session-a_b.vtt"'),
        ("é", "filename=\"session-unnamed.vtt\"; filename*=UTF-8''session-%C3%A9.vtt"),
        ("../../etc", "filename=\"session-etc.vtt\"; filename*=UTF-8''session-.._.._etc.vtt"),
        ('a"; x="b', "filename=\"session-a_x_b.vtt\"; filename*=UTF-8''session-a_%3B%20x%3D_b.vtt"),
        ("x" * 500, f'filename="session-{"x" * 80}.vtt"'),
    ],
)
def test_names_of_files(session_id: str, wanted: str) -> None:
    assert file_name(session_id, "vtt") == wanted
