"""`/openapi.json` and `/docs` as they are served: complete, harmless, and made only when asked for."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
import subprocess
import sys
from html import unescape
from typing import TYPE_CHECKING

import pytest

from docs.tools import make_events
from streaming_hub.events.types import TYPES
from streaming_hub.web.openapi.describe import ENDPOINTS
from streaming_hub.web.openapi.document import openapi_path
from streaming_hub.web.openapi.page import page
from tests.streaming_hub.web.openapi.test_document import DOCUMENT
from tests.structure.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient


@pytest.fixture
def html(client: FlaskClient) -> str:
    return client.get("/docs").text


def test_the_document_is_served(client: FlaskClient) -> None:
    answer = client.get("/openapi.json")
    assert answer.mimetype == "application/json"
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json == DOCUMENT


def test_the_page_may_load_and_run_nothing(client: FlaskClient, html: str) -> None:
    policy = client.get("/docs").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    assert "script" not in policy
    assert not re.search(
        r"<script|<img|<iframe|<link(?! rel=\"icon\" href=\"data:)|\sstyle=|\son\w+=|@import|url\(", html
    )
    assert {href for href in re.findall(r'href="([^"#][^"]*)"', html) if not href.startswith("data:")} == {
        "/openapi.json",
        "/",
    }


def test_the_page_has_every_endpoint_and_event(html: str) -> None:
    for endpoint in ENDPOINTS:
        assert f'<h3 class="path">{openapi_path(endpoint.path)}</h3>' in html
    for name in TYPES:
        assert f'<article id="event-{name}">' in html
    assert html.count(">Try it</h4>") == len(ENDPOINTS)


def test_the_pages_links_lead_somewhere(html: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', html)) - set(ids) == set()


def test_nothing_in_a_description_becomes_markup() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    document = copy.deepcopy(DOCUMENT)
    operation = document["paths"]["/api/events"]["get"]
    operation["summary"] = operation["description"] = hostile
    operation["parameters"][0] |= {"name": hostile, "description": hostile, "example": hostile}
    document["info"]["title"] = document["tags"][0]["name"] = hostile
    document["components"]["schemas"]["Health"]["description"] = hostile
    html = page(document, f"http://localhost/{hostile}")
    assert "<script" not in html
    assert unescape(html).count("<script>alert(1)</script>") >= 5


def test_the_description_is_made_only_when_it_is_asked_for() -> None:
    program = (
        "import sys, flask_server; from streaming_hub.settings import Settings\n"
        "client = flask_server.create_app(Settings(history='memory://')).test_client()\n"
        "client.post('/api/agent/data', json={'type': 'test'})\n"
        "loaded = {name for name in sys.modules if name.startswith('streaming_hub.web.openapi.')}\n"
        "assert loaded == {'streaming_hub.web.openapi.reference'}, loaded\n"
        "assert client.get('/docs').status_code == 200\n"
        "assert 'streaming_hub.web.openapi.page' in sys.modules"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("path", make_events.current(), ids=lambda path: path.name)
def test_the_documents_of_the_event_types_are_current(path: Path) -> None:
    is_there, wanted = make_events.current()[path]
    assert is_there == wanted, "run `uv run python -m docs.tools.make_events`"
