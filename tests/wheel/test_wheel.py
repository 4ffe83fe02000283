"""The hub and its client from their wheels: installed into empty environments, they do what the checkout does."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

import pytest

from streaming_hub import __version__
from tests.wheel.conftest import ROOT, run
from tests.wheel.running import RunningHub
from tools.release import check_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wheel.conftest import Artefacts, Installed

pytestmark = pytest.mark.wheel

MOST_PACKAGES = 60
MOST_BYTES = 90 * 1024 * 1024


def test_it_holds_the_packages_and_what_they_serve(artefacts: Artefacts) -> None:
    with zipfile.ZipFile(artefacts.wheel("livekit_streaming_hub")) as wheel:
        names = wheel.namelist()
        assert (
            wheel.read("streaming_hub/bundled/stream-test.html") == (ROOT / "stream-test.html").read_bytes()
        )
    wanted = {f"streaming_hub/bundled/js/{path.name}" for path in (ROOT / "packages/js/src").glob("*.js")}
    wanted |= {"streaming_hub_agent/rehearsal/audio/question.wav", "streaming_hub/web/openapi/page.css"}
    assert wanted <= set(names)
    assert [name for name in names if name.endswith((".test.js", "tsconfig.json"))] == []
    with zipfile.ZipFile(client := artefacts.wheel("livekit_streaming_hub_client")) as wheel:
        assert "streaming_hub_client/py.typed" in wheel.namelist()
    for built in (artefacts.wheel("livekit_streaming_hub"), client):
        check_wheel(built, __version__)


def test_the_base_install_is_small(base: Installed) -> None:
    packages = base.packages()
    assert "livekit-streaming-hub" in packages
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
    heavy = re.compile(r"livekit(?!-streaming-hub$)|numpy|redis|psycopg")
    assert [name for name in packages if heavy.match(name)] == []
    assert base.size() <= MOST_BYTES


def test_all_that_needs_no_agent_works(base: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with RunningHub([base.folder / "bin" / "streaming-hub"], folder) as hub:
        assert "install `livekit-streaming-hub[agent]`" in hub.log
        assert "/api/agent/start" not in hub.log
        page = hub.get("/")
        assert page.content.count(b"<script>") == 1
        assert "text/html" in page.headers["Content-Type"]
        assert hub.get("/docs").status_code == 200
        console = hub.get("/console/")
        assert console.status_code == 200
        for path in ("/console/client/index.js", "/console/static/frame.js", "/console/static/console.css"):
            assert hub.get(path).status_code == 200, path
        session = {"room": "r", "session_id": "s"}
        stream = hub.events()
        assert next(stream)["type"] == "connected"
        said = {"type": "transcript", "text": "Hello from the wheel.", "role": "user", "is_final": True}
        posted = [{"type": "session_started"}, said, {"type": "session_ended", "reason": "hang_up"}]
        assert hub.post("/api/agent/data", [{**event, **session} for event in posted]).status_code == 200
        received = [next(stream) for _ in posted]
        assert [event["type"] for event in received] == [event["type"] for event in posted]
        stream.close()  # type: ignore[attr-defined] # a generator
        found = hub.until("/api/sessions?q=wheel", lambda answer: answer.get("sessions"))
        assert found["sessions"][0]["session_id"] == "s"
        refused = hub.post("/api/agent/start")
        assert refused.status_code == 503
        assert "livekit-streaming-hub[agent]" in refused.json()["detail"]
        assert "livekit-streaming-hub[agent]" in hub.log
        assert hub.get("/api/agent/status").json()["state"] == "stopped"
    assert hub.process.returncode == 0, hub.log
    assert {path.name for path in folder.iterdir()} == {"data"}
    assert {"events.db", "archive.db"} <= {path.name for path in (folder / "data").iterdir()}


USE_CLIENT = """
import sys
from streaming_hub_client import InvalidWebhook, follow, publish, verify_webhook
start = publish(sys.argv[1], {"type": "start", "room": "r"})["id"]
publish(sys.argv[1], {"type": "note", "room": "r", "text": "from the wheel"})
with follow(sys.argv[1], room="r", since=start) as stream:
    print(next(stream)["text"])
try:
    from streaming_hub_client import attach
except ModuleNotFoundError as error:
    print(error)
try:
    verify_webhook(b"{}", {}, "whsec_" + 32 * "a")
except InvalidWebhook:
    print("verified")
"""


def test_the_client_needs_neither_the_hub_nor_livekit(
    artefacts: Artefacts, base: Installed, tmp_path: Path
) -> None:
    client = artefacts.install(tmp_path / "env", "livekit_streaming_hub_client")
    with RunningHub([base.folder / "bin" / "streaming-hub"], tmp_path) as hub:
        printed = run(client.python, "-c", USE_CLIENT, hub.url, cwd=tmp_path).splitlines()
    assert printed[0] == "from the wheel"
    assert printed[1] == "attach needs livekit: install livekit-streaming-hub-client[livekit]"
    assert printed[2] == "verified"


def test_every_command_is_the_same(base: Installed, tmp_path: Path) -> None:
    for command in ([base.folder / "bin" / "streaming-hub"], [base.python, "-m", "streaming_hub"]):
        assert run(*command, "--version", cwd=tmp_path).strip() == __version__
        assert run(*command, "--help", cwd=tmp_path).startswith("usage: streaming-hub ")


def test_with_its_extra_the_agent_runs(with_agent: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    # A project may have an agent of its own: it is not the hub's.
    (folder / "agent").mkdir(parents=True)
    (folder / "agent" / "__init__.py").write_text("raise SystemExit('the wrong agent')")
    with RunningHub([with_agent.folder / "bin" / "streaming-hub"], folder) as hub:
        started = hub.post("/api/agent/start").json()
        assert started["mode"] == "rehearsal"
        for event in hub.events("?replay=100"):
            assert event.get("state") != "failed", hub.log
            if event["type"] == "transcript" and event["is_final"]:
                break
        assert hub.post("/api/agent/stop").json()["state"] == "stopped"


def test_the_two_commands_of_the_readme_in_a_fresh_clone(artefacts: Artefacts) -> None:
    """`uv run flask_server.py`, then a POST: the first installs all that the second needs."""
    with RunningHub(["uv", "run", "flask_server.py"], artefacts.project) as hub:
        assert hub.post("/api/agent/start").json()["mode"] == "rehearsal"
        hub.until("/api/agent/status", lambda status: status["state"] in {"ready", "running"})
        assert hub.post("/api/agent/stop").json()["state"] == "stopped"
