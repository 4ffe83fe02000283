"""Who may import whom (docs/explanation/architecture.md, "Modules")."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import pytest

from tests.structure.sources import ROOT, belongs, modules, name_of, names, uses

if TYPE_CHECKING:
    from pathlib import Path

HUB = modules("streaming_hub", "flask_server.py")
AGENT = modules("agent")
CLIENT = modules("packages/python/src")

LAYERS = (
    ("streaming_hub", "errors", "logs", "portability", "private_folder", "resources", "signals", "wording"),
    ("settings", "events", "demo", "foreign_file"),
    ("cluster",),
    ("access",),
    ("history",),
    ("sidecar",),
    ("livekit", "archive", "stream"),
    ("agents", "outlets", "rooms"),
    ("intake", "metrics", "nodes"),
    ("services",),
    ("server",),
    ("web",),
    ("command", "gunicorn"),  # find the hub's services through the application (web.current)
    ("__main__",),
    ("flask_server",),
)
"""The hub's folders and single modules, lowest first. Imports, also those for types, lead only to lower layers."""

PURE = (
    "streaming_hub.access.address",
    "streaming_hub.agents.mode",
    "streaming_hub.stream.audience",
    "streaming_hub.access.authenticator",
    "streaming_hub.access.grant",
    "streaming_hub.access.keys",
    "streaming_hub.access.tickets",
    "streaming_hub.access.tokens",
    "streaming_hub.web.bodies",
    "streaming_hub.rooms.state",
    "streaming_hub.stream.counters",
    "streaming_hub.archive.figures",
    "streaming_hub.archive.reduce",
    "streaming_hub.archive.spoken",
    "streaming_hub.archive.views",
    "streaming_hub.archive.words",
    "streaming_hub.outlets.exports",
    "streaming_hub.outlets.webhooks.addresses",
    "streaming_hub.outlets.webhooks.endpoints",
    "streaming_hub.outlets.webhooks.retries",
    "streaming_hub.outlets.webhooks.schedule",
    "streaming_hub.outlets.webhooks.signing",
    "streaming_hub.web.paths",
    "streaming_hub.web.times",
    "streaming_hub.demo.scenes",
    "streaming_hub.events.cursor",
    "streaming_hub.errors",
    "streaming_hub.events.posted",
    "streaming_hub.events.types",
    "streaming_hub.history.bounds",
    "streaming_hub.events.stored",
    "streaming_hub.events.interest",
    "streaming_hub.stream.latency",
    "streaming_hub.livekit.webhooks",
    "streaming_hub.access.origin",
    "streaming_hub.rooms.facts",
    "streaming_hub.events.types.snapshot",
    "streaming_hub.agents.leases",
    "streaming_hub.settings.values",
    "streaming_hub.events.sse",
    "streaming_hub.events.wordless",
    "streaming_hub.stream.frames",
    "streaming_hub.server.headers",
    "streaming_hub.agents.output",
    "streaming_hub.agents.states",
    "streaming_hub.wording",
    "streaming_hub_client.bridge",
    "streaming_hub_client.conversation",
    "agent.rehearsal.script",
    "agent.watching.messages",
    "agent.watching.watched",
    "streaming_hub_client.retry",
    "streaming_hub_client.sse",
    "streaming_hub_client.stream",
    "streaming_hub_client.turn",
)
"""Modules, or packages with all in them, that compute and nothing else: time and chance are arguments."""

IMPURE = (
    "asyncio",
    "fcntl",
    "flask",
    "gevent",
    "http",
    "io",
    "logging",
    "os",
    "pathlib",
    "queue",
    "random",
    "requests",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "_socket",
    "sqlite3",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
)


def users(files: tuple[Path, ...], *packages: str, typing: bool = True) -> set[str]:
    """The modules among these files that import one of the packages."""
    return {
        name_of(path)
        for path in files
        if any(belongs(name, *packages) for name in names(path, typing=typing))
    }


def room_of(module: str) -> str:
    """Return the folder right below `streaming_hub` that a module lies in; a single module is its own."""
    return module.split(".")[1] if "." in module else module


def graph_of(files: tuple[Path, ...]) -> dict[str, set[str]]:
    """Return module -> the modules among these files that it imports."""
    known = {name_of(path) for path in files}
    return {name_of(path): uses(path.read_text(encoding="utf-8"), known) - {name_of(path)} for path in files}


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Return the imports that lead neither to a lower layer nor within their own folder."""
    layer = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    return [
        f"{module} -> {imported}"
        for module, found in sorted(graph.items())
        for imported in sorted(found)
        if room_of(module) != room_of(imported) and layer[room_of(module)] <= layer[room_of(imported)]
    ]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of a circle of imports, the first again as the last; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_every_folder_and_single_module_is_in_a_layer() -> None:
    rooms = [room for layer in LAYERS for room in layer]
    assert len(rooms) == len(set(rooms))
    assert {room_of(name_of(path)) for path in HUB} == set(rooms)


def test_imports_lead_to_lower_layers() -> None:
    assert upward(graph_of(HUB)) == []


@pytest.mark.parametrize("files", [HUB, AGENT, CLIENT], ids=["hub", "agent", "client"])
def test_no_imports_form_a_circle(files: tuple[Path, ...]) -> None:
    assert circle(graph_of(files)) == []


def test_an_import_that_leads_up_or_in_a_circle_would_be_found() -> None:
    known = {
        "streaming_hub.access",
        "streaming_hub.access.keys",
        "streaming_hub.web",
        "streaming_hub.web.cors",
    }
    source = """
from streaming_hub.access import keys
if TYPE_CHECKING:
    from streaming_hub.web import cors
    from streaming_hub.web.cors import PATH
"""
    found = uses(source, known)
    assert found == {"streaming_hub.access.keys", "streaming_hub.web.cors"}
    graph = {"streaming_hub.access.grant": found, "streaming_hub.access.keys": {"streaming_hub.access.grant"}}
    assert upward(graph) == ["streaming_hub.access.grant -> streaming_hub.web.cors"]
    assert set(circle(graph)) == {"streaming_hub.access.grant", "streaming_hub.access.keys"}
    siblings = {"streaming_hub.archive.feed": {"streaming_hub.stream.hub"}}
    assert upward(siblings) == ["streaming_hub.archive.feed -> streaming_hub.stream.hub"]


def test_one_module_derives_paths_from_where_a_source_file_lies() -> None:
    using = {name_of(path) for path in HUB + AGENT if "__file__" in path.read_text(encoding="utf-8")}
    assert using == {"streaming_hub.resources"}


def test_hub_and_agent_know_each_other_by_http_alone() -> None:
    assert users(HUB, "agent") == set()
    assert users(AGENT + CLIENT, "streaming_hub", "flask_server") == set()
    assert users(CLIENT, "agent") == set()


def test_nothing_that_ships_imports_tests_or_benchmarks() -> None:
    assert users(HUB + AGENT + CLIENT, "tests", "bench", "examples", "pytest", "hypothesis") == set()


def test_only_the_web_room_and_the_entry_point_import_flask() -> None:
    # streaming_hub.command names the Flask class in its types; it calls nothing of it.
    found = users(HUB, "flask", "flask_cors", "werkzeug", typing=False)
    # A recording that an agent uploaded is read by Werkzeug's parser without I/O, in the archive's process.
    others = {name for name in found if not belongs(name, "streaming_hub.web", "flask_server")}
    assert others == {"streaming_hub.archive.uploads.recording"}
    assert "streaming_hub.web.api.stream" in found


def test_only_streaming_knows_sockets_and_the_agents_control_line() -> None:
    # The supervisor's one socket is its end of the pair that leads to the agent process.
    found = users(HUB, "socket", "_socket", "socketserver", "ssl", "selectors", typing=False)
    # So is the other end of the pair that leads to a process beside the hub.
    assert {name for name in found if not belongs(name, "streaming_hub.stream", "streaming_hub.server")} == {
        "streaming_hub.agents.process",
        "streaming_hub.sidecar.process",
        "streaming_hub.sidecar.worker",
        # Checks the addresses that it connects to.
        "streaming_hub.outlets.webhooks.sender",
        # Reads why a certificate was refused; redis-py connects.
        "streaming_hub.cluster.server",
    }


def test_only_the_supervisor_knows_subprocess() -> None:
    # And what asks `lsof` for the name of a program, where the server cannot start, and the demo.
    found = users(HUB, "subprocess", "multiprocessing", "pty")
    assert {name for name in found if not belongs(name, "streaming_hub.agents")} == {
        "streaming_hub.demo.process",
        "streaming_hub.server.port_holder",
    }
    assert len(found) > 1


def test_only_the_sqlite_history_knows_sqlite() -> None:
    assert users(HUB, "sqlite3") == {
        "streaming_hub.foreign_file",
        "streaming_hub.history.sqlite",
        "streaming_hub.history.wal",
    }


def test_redis_is_loaded_only_where_it_is_used() -> None:
    assert users(HUB, "redis", typing=False) == {
        "streaming_hub.cluster.server",
        "streaming_hub.history.redis.store",
    }


def test_only_the_processes_of_archive_and_webhooks_know_sql() -> None:
    found = users(HUB, "sqlalchemy", "alembic", typing=False)
    known = ("streaming_hub.archive", "streaming_hub.outlets.webhooks", "streaming_hub.sidecar")
    assert {name for name in found if not belongs(name, *known)} == set()
    in_the_hub = ("archive.feed", "outlets.webhooks.feed", "sidecar.feed", "sidecar.process", "sidecar.wire")
    assert not found & {f"streaming_hub.{name}" for name in in_the_hub}


def test_the_hub_imports_no_livekit_agents() -> None:
    assert users(HUB, "livekit.agents", "livekit.plugins", "livekit.rtc") == set()


def test_http_requests_are_made_in_few_places() -> None:
    clients = ("requests", "httpx", "aiohttp", "urllib3", "urllib.request", "http.client")
    # The watcher asks livekit-server by LiveKit's own library, whose errors are those of aiohttp.
    assert users(AGENT, *clients) == {"agent.watching.rooms"}
    assert users(CLIENT, *clients) == {
        f"streaming_hub_client.{name}" for name in ("answers", "connections", "poster", "publish", "route")
    }
    # The demo's own process posts like any other client; webhooks are sent by theirs.
    assert users(HUB, *clients) == {
        "streaming_hub.livekit.server_api",
        "streaming_hub.demo.__main__",
        "streaming_hub.outlets.webhooks.sender",
    }


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_touch_nothing(module: str) -> None:
    files = [path for path in HUB + AGENT + CLIENT if belongs(name_of(path), module)]
    assert files, f"{module} is gone: take it off the list"
    for path in files:
        touched = {name for name in names(path, typing=False) if belongs(name, *IMPURE)}
        assert touched == set(), f"{name_of(path)} is said to be pure"


def test_a_pure_module_that_touches_something_would_be_found() -> None:
    poster = ROOT / "packages/python/src/streaming_hub_client/poster.py"
    assert {name for name in names(poster, typing=False) if belongs(name, *IMPURE)} >= {"time", "requests"}


def test_the_running_server_has_not_loaded_livekit_agents() -> None:
    program = """
import json, sys
import flask_server
from streaming_hub.settings import Settings
app = flask_server.create_app(Settings(history="memory://"))
client = app.test_client()
for rule in app.url_map.iter_rules():
    if "GET" in rule.methods and not rule.arguments and rule.rule != "/api/stream":
        client.get(rule.rule)
import streaming_hub.command
print(json.dumps(sorted(sys.modules)))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    loaded = json.loads(ran.stdout.splitlines()[-1])
    assert "streaming_hub.web.api.stream" in loaded
    heavy = [
        name
        for name in loaded
        if belongs(
            name,
            "livekit.agents",
            "livekit.plugins",
            "livekit.rtc",
            "numpy",
            "agent",
            "sqlalchemy",
            "alembic",
            "aiohttp",
            "redis",
        )
    ]
    assert heavy == []


def test_a_hub_that_takes_uploads_loads_opentelemetrys_messages_and_nothing_of_livekits() -> None:
    program = """
import json, sys
import flask_server
from streaming_hub.settings import Settings
from tests.uploads import replay
settings = Settings(
    history="memory://", archive="sqlite:///" + sys.argv[1], observability=True, livekit_api_key=replay.KEY,
    livekit_api_secret=replay.SECRET,
)
client = flask_server.create_app(settings).test_client()
for one in replay.uploads():
    kept = {name: one.headers[name] for name in ("content-type", "content-encoding") if name in one.headers}
    headers = {**kept, "Authorization": f"Bearer {replay.token()}"}
    assert client.post(one.path, data=one.body, headers=headers).status_code == 200
print(json.dumps(sorted(sys.modules)))
"""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, "-c", program, f"{folder}/archive.db"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    loaded = json.loads(ran.stdout.splitlines()[-1])
    assert "streaming_hub.archive.uploads.otlp" in loaded
    heavy = ("livekit", "numpy", "agent", "sqlalchemy", "aiohttp")
    assert [name for name in loaded if belongs(name, *heavy)] == []
    telemetry = [name for name in loaded if belongs(name, "opentelemetry")]
    assert [name for name in telemetry if not belongs(name, "opentelemetry.proto")] == ["opentelemetry"]
