"""Tests mirror the tree, or a table says why not; each file opens by saying what it is for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.structure.sources import CLIENT, ROOT, belongs, modules, name_of

SHIPPED = modules("streaming_hub", "agent", "flask_server.py", "packages/python/src")
TESTS = modules("tests")
BENCH = modules("bench")

ELSEWHERE: dict[str, tuple[str, str]] = {
    "streaming_hub_client.conversation": (
        "tests/packages/python/test_bridge.py",
        "the bridge's memory, seen in its events",
    ),
    "streaming_hub_client.connections": ("tests/packages/python/test_follow.py", "connects what is followed"),
    "streaming_hub_client.file_lock": ("tests/packages/python/test_spool.py", "runs with either lock"),
    "streaming_hub_client.heard": (
        "tests/packages/python/test_live_sessions.py",
        "needs a LiveKit session",
    ),
    "agent.rehearsal": ("tests/agent/test_rehearsal.py", "the parts work only together"),
    "agent.session": ("tests/agent/test_rooms.py", "needs the stub of the models"),
    "streaming_hub_client.turn": ("tests/packages/python/test_bridge.py", "seen in its events"),
    "streaming_hub_client.user_words": (
        "tests/packages/python/test_live_sessions.py",
        "needs a LiveKit session",
    ),
    "streaming_hub_client.words": (
        "tests/packages/python/test_attachment.py",
        "needs LiveKit's chain of outputs",
    ),
    "agent.watcher": ("tests/livekit/test_watcher.py", "is started as the hub starts it"),
    "agent.watching.room": ("tests/livekit/test_watcher.py", "sits in real rooms"),
    "agent.watching.rooms": ("tests/livekit/test_watcher.py", "follows a real hub and a real livekit-server"),
    "agent.watching.service": ("tests/livekit/test_watcher.py", "is started as the hub starts it"),
    "agent.watching.settings": ("tests/livekit/test_watcher.py", "is started as the hub starts it"),
    "agent.worker": ("tests/agent/test_service.py", "is started as the hub starts it"),
    "streaming_hub.__main__": ("tests/test_flask_server.py", "the program as it is called"),
    "streaming_hub.command": ("tests/test_flask_server.py", "the program as it is called"),
    "streaming_hub.metrics": (
        "tests/streaming_hub/web/api/test_metrics.py",
        "held against what an HTTP client reads",
    ),
    "streaming_hub.resources": (
        "tests/streaming_hub/web/console/test_pages.py",
        "the files that pages load",
    ),
    "streaming_hub.services": (
        "tests/streaming_hub/agents/test_environ.py",
        "puts parts together; each has tests of its own",
    ),
    "streaming_hub.agents.output": (
        "tests/streaming_hub/agents/test_states.py",
        "a child's lines belong to its state",
    ),
    "streaming_hub.agents.process": (
        "tests/streaming_hub/agents/test_supervisor.py",
        "real processes, through their supervisor",
    ),
    "streaming_hub.agents.report": (
        "tests/streaming_hub/agents/test_supervisor.py",
        "what the supervisor reports",
    ),
    "streaming_hub.agents.session_monitor": (
        "tests/streaming_hub/web/api/test_leases.py",
        "through the endpoint that renews leases",
    ),
    "streaming_hub.archive.migrations": (
        "tests/streaming_hub/archive/test_database.py",
        "run when a database is opened",
    ),
    "streaming_hub.archive.messages": (
        "tests/streaming_hub/archive/test_queries.py",
        "what is asked",
    ),
    "streaming_hub.archive.raw": ("tests/streaming_hub/archive/test_store.py", "written with the rows"),
    "streaming_hub.archive.reduce": (
        "tests/streaming_hub/archive/test_vectors.py",
        "the same vectors for every reducer",
    ),
    "streaming_hub.archive.tables": (
        "tests/streaming_hub/archive/test_schema.py",
        "columns against the document",
    ),
    "streaming_hub.archive.uploads.audio": (
        "tests/streaming_hub/web/api/test_uploads_audio.py",
        "asked over HTTP, in parts",
    ),
    "streaming_hub.archive.uploads.taking": (
        "tests/streaming_hub/web/api/test_uploads.py",
        "asked over HTTP, of a real agent's uploads",
    ),
    "streaming_hub.web.api.telemetry": (
        "tests/streaming_hub/web/api/test_uploads.py",
        "shows what was uploaded",
    ),
    "streaming_hub.archive.views": ("tests/streaming_hub/archive/test_queries.py", "seen in answers"),
    "streaming_hub.archive.word_index": (
        "tests/streaming_hub/archive/test_queries.py",
        "searched in either database",
    ),
    "streaming_hub.archive.words": (
        "tests/streaming_hub/archive/test_vectors.py",
        "the same vectors for every reducer",
    ),
    "streaming_hub.demo.__main__": (
        "tests/streaming_hub/demo/test_process.py",
        "posts as a process of its own",
    ),
    "streaming_hub.demo.scenes": ("tests/streaming_hub/demo/test_calls.py", "data that calls are made of"),
    "streaming_hub.events.stored": (
        "tests/streaming_hub/history/test_history.py",
        "what every store returns",
    ),
    "streaming_hub.events.types": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "classes without logic, read by the API's description",
    ),
    "streaming_hub.history.bounds": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.history.files": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.history.memory": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.history.sqlite": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.history.wal": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.history.window": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.livekit.server_api": (
        "tests/streaming_hub/agents/test_recall.py",
        "asked for agents by recall",
    ),
    "streaming_hub.livekit.tokens": (
        "tests/streaming_hub/web/api/test_token.py",
        "through the endpoint that mints them",
    ),
    "streaming_hub.outlets.exports": (
        "tests/streaming_hub/outlets/test_exports.py",
        "one session in every format",
    ),
    "streaming_hub.outlets.webhooks.addresses": (
        "tests/streaming_hub/outlets/webhooks/test_sender.py",
        "addresses are checked when connecting",
    ),
    "streaming_hub.outlets.webhooks.retries": (
        "tests/streaming_hub/outlets/webhooks/test_sender.py",
        "after what was answered",
    ),
    "streaming_hub.outlets.webhooks.signing": (
        "tests/streaming_hub/outlets/webhooks/test_sender.py",
        "read by the standard's library",
    ),
    "streaming_hub.outlets.webhooks.feed": (
        "tests/streaming_hub/web/api/test_webhooks.py",
        "a hub, its webhooks' process and receivers",
    ),
    "streaming_hub.outlets.webhooks.worker": (
        "tests/streaming_hub/web/api/test_webhooks.py",
        "a hub, its webhooks' process and receivers",
    ),
    "streaming_hub.outlets.webhooks.endpoints": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "who gets which event",
    ),
    "streaming_hub.outlets.webhooks.messages": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "what the store is given",
    ),
    "streaming_hub.outlets.webhooks.log": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "reads what the store writes",
    ),
    "streaming_hub.outlets.webhooks.reports": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "what the store has to report",
    ),
    "streaming_hub.outlets.webhooks.rows": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "the store's statements, in both databases",
    ),
    "streaming_hub.outlets.webhooks.tables": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "made in both databases",
    ),
    "streaming_hub.outlets.webhooks.migrations": (
        "tests/streaming_hub/outlets/webhooks/test_store.py",
        "run when a database is opened",
    ),
    "streaming_hub.rooms.facts": ("tests/streaming_hub/rooms/test_state.py", "keeps what state reads"),
    "streaming_hub.history.redis": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores; faults in tests/faults/test_redis_faults.py",
    ),
    "streaming_hub.agents.hub_agent": ("tests/streaming_hub/test_nodes.py", "needs two nodes"),
    "streaming_hub.cluster.secret": ("tests/streaming_hub/test_nodes.py", "a ticket of one node at another"),
    "streaming_hub.stream.shared": ("tests/streaming_hub/test_nodes.py", "needs two nodes"),
    "streaming_hub.history.page": (
        "tests/streaming_hub/history/test_history.py",
        "one contract for all stores",
    ),
    "streaming_hub.server.bounds": (
        "tests/streaming_hub/server/test_hostile_requests.py",
        "limits hold against real clients",
    ),
    "streaming_hub.server.environ": (
        "tests/streaming_hub/server/test_headers_against_h11.py",
        "keys of the header fields that are read there",
    ),
    "streaming_hub.server.handover": (
        "tests/streaming_hub/server/running.py",
        "needs patched sockets (test_server)",
    ),
    "streaming_hub.settings.values": (
        "tests/streaming_hub/settings/test_settings.py",
        "seen in each setting",
    ),
    "streaming_hub.sidecar.dialects": (
        "tests/streaming_hub/archive/test_database.py",
        "in both databases",
    ),
    "streaming_hub.sidecar.database": (
        "tests/streaming_hub/archive/test_database.py",
        "with the archive's tables",
    ),
    "streaming_hub.sidecar.feed": (
        "tests/streaming_hub/archive/test_feed.py",
        "with a process, and a hub around it",
    ),
    "streaming_hub.sidecar.migrate": (
        "tests/streaming_hub/archive/test_database.py",
        "run when a database is opened",
    ),
    "streaming_hub.sidecar.process": (
        "tests/streaming_hub/archive/test_feed.py",
        "the feed starts and restarts it",
    ),
    "streaming_hub.sidecar.wire": (
        "tests/streaming_hub/archive/test_feed.py",
        "between a hub and its archive's process",
    ),
    "streaming_hub.sidecar.worker": (
        "tests/streaming_hub/archive/test_worker.py",
        "as the archive's process",
    ),
    "streaming_hub.stream.counters": ("tests/streaming_hub/web/api/test_metrics.py", "read as metrics"),
    "streaming_hub.stream.disk": (
        "tests/streaming_hub/stream/writing.py",
        "needs a writer on patched sockets (test_writer)",
    ),
    "streaming_hub.stream.frames": (
        "tests/streaming_hub/stream/writing.py",
        "needs a writer on patched sockets (test_writer)",
    ),
    "streaming_hub.stream.open_stream": (
        "tests/streaming_hub/stream/writing.py",
        "needs a writer on patched sockets (test_writer)",
    ),
    "streaming_hub.stream.pages": ("tests/streaming_hub/stream/test_hub.py", "seen in what subscribers get"),
    "streaming_hub.web.answers": ("tests/streaming_hub/web/api/test_publish.py", "every error is a problem"),
    "streaming_hub.web.current": ("tests/streaming_hub/web/test_callers.py", "two look-ups"),
    "streaming_hub.web.headers": ("tests/streaming_hub/web/test_callers.py", "on every answer"),
    "streaming_hub.web.paths": (
        "tests/streaming_hub/web/api/test_sessions.py",
        "names in the paths of sessions",
    ),
    "streaming_hub.web.declared": ("tests/streaming_hub/web/test_endpoint.py", "what `@endpoint` declares"),
    "streaming_hub.web.shortcut": ("tests/streaming_hub/web/test_guide.py", "seen by clients of both ways"),
    "streaming_hub.web.api.agent": ("tests/browser/test_whole_path.py", "starts a real agent"),
    "streaming_hub.web.api.watcher_answer": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "types without logic",
    ),
    "streaming_hub.web.api.answer_types": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "types without logic",
    ),
    "streaming_hub.web.api.archived": (
        "tests/streaming_hub/web/api/test_sessions.py",
        "what the archive's endpoints share",
    ),
    "streaming_hub.web.about": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "words that become the document",
    ),
    "streaming_hub.web.parameters": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "words that become the document",
    ),
    "streaming_hub.web.api.erasing": (
        "tests/streaming_hub/web/api/test_rooms.py",
        "erases what is read there",
    ),
    "streaming_hub.web.api.events": ("tests/streaming_hub/web/api/test_rooms.py", "each kind of history"),
    "streaming_hub.web.api.health": ("tests/streaming_hub/web/api/test_rooms.py", "one answer"),
    "streaming_hub.web.api.me": ("tests/streaming_hub/web/api/test_stats.py", "by the same callers"),
    "streaming_hub.web.api.webhook_about": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "words that the document is made of",
    ),
    "streaming_hub.web.api.webhook_requests": (
        "tests/streaming_hub/web/api/test_webhooks.py",
        "bodies, refused by field",
    ),
    "streaming_hub.web.api.stream": (
        "tests/streaming_hub/stream/test_on_the_socket.py",
        "needs a real socket",
    ),
    "streaming_hub.web.console.live": ("tests/streaming_hub/web/test_callers.py", "who may read the page"),
    "streaming_hub.web.console.vendor": ("tests/livekit/test_talk.py", "a browser loads it"),
    "streaming_hub.web.openapi": (
        "tests/streaming_hub/web/openapi/test_document.py",
        "one document made of all",
    ),
}
"""Modules, and packages with all in them, without a test file at their place -> the file that covers them, and why."""

NOTHING_TO_TEST: dict[str, str] = {
    "streaming_hub.stream.pauses": "one number",
}
"""Modules without any code of their own -> what they are."""

MOST_LINES = 600
MOST_ABOUT_A_FOLDER = 4
"""Lines of a folder's docstring, without empty ones and the list of what is raised."""


def mirrored(module: Path) -> bool:
    """Return whether `a/b.py` has a `tests/a/test_b.py`, or a `tests/a/test_b_*.py`."""
    place = Path("packages/python") if module.is_relative_to(CLIENT) else module.relative_to(ROOT).parent
    folder = ROOT / "tests" / place
    return (folder / f"test_{module.stem}.py").is_file() or any(folder.glob(f"test_{module.stem}_*.py"))


def with_helpers(path: Path) -> list[str]:
    """The text of a test file, and of the helpers among the tests that it imports."""
    text = path.read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    return [text, *(one.read_text(encoding="utf-8") for one in TESTS if name_of(one) in imported)]


def exception_for(module: str) -> str | None:
    """Return the line of the table that covers a module: its own, or its package's."""
    return next((key for key in ELSEWHERE if belongs(module, key)), None)


def test_tests_mirror_the_tree() -> None:
    without = [
        f"tests/{path.relative_to(ROOT).parent}/test_{path.stem}.py"
        for path in SHIPPED
        if path.name != "__init__.py" and not mirrored(path)
        if not exception_for(module := name_of(path)) and module not in NOTHING_TO_TEST
    ]
    assert without == [], f"make them, or write a line in {__name__}"


@pytest.mark.parametrize("module", sorted(ELSEWHERE))
def test_every_exception_names_a_file_that_covers_it(module: str) -> None:
    test, reason = ELSEWHERE[module]
    assert reason
    covered = [path for path in SHIPPED if belongs(name_of(path), module)]
    assert covered, f"{module} is gone"
    assert not all(mirrored(path) for path in covered), f"{module} has a test file at its place"
    named = re.compile(rf"\b{re.escape(module)}\b|\b{re.escape(module.replace('.', '/'))}\.py\b")
    assert any(named.search(text) for text in with_helpers(ROOT / test)), (
        f"{test} neither imports nor names {module}: say in its docstring that it covers it"
    )


@pytest.mark.parametrize("module", sorted(NOTHING_TO_TEST))
def test_what_has_nothing_to_test_has_no_code(module: str) -> None:
    (path,) = (path for path in SHIPPED if name_of(path) == module)
    code = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    assert not [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, code)
    ]


def test_a_module_without_a_test_would_be_found() -> None:
    assert not mirrored(ROOT / "streaming_hub" / "access" / "unheard_of.py")
    assert exception_for("streaming_hub.access.unheard_of") is None
    assert mirrored(ROOT / "streaming_hub" / "access" / "tickets.py")


def test_every_module_says_what_it_is_for() -> None:
    for path in SHIPPED:
        text = path.read_text(encoding="utf-8")
        told = ast.get_docstring(ast.parse(text))
        assert told, f"{path} has no docstring"
        assert text.count("\n") <= MOST_LINES, f"{path} has more than {MOST_LINES} lines"
        if path.name == "__init__.py":
            lines = [line for line in told.partition("\nRaises:")[0].splitlines() if line.strip()]
            assert len(lines) <= MOST_ABOUT_A_FOLDER, f"{path} says more about its folder than needed"


def test_nothing_is_left_to_do_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    here = ROOT / "tests" / "structure"
    files = [path for path in (*SHIPPED, *TESTS) if here not in path.parents]
    assert [str(path) for path in files if marks.search(path.read_text(encoding="utf-8"))] == []


def swallowed(source: str) -> list[int]:
    """Return the lines at which a handler, or `suppress`, drops an error without a comment that says why."""
    lines, found = source.splitlines(), []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            drops = len(node.body) == 1 and isinstance(node.body[0], ast.Pass | ast.Continue | ast.Break)
            last = node.body[-1].end_lineno or node.lineno
        elif isinstance(node, ast.With):
            drops = any("suppress(" in ast.unparse(item.context_expr) for item in node.items)
            last = node.body[0].lineno
        else:
            continue
        # A comment above, beside or within it.
        if drops and not any("#" in line for line in lines[node.lineno - 2 : last]):
            found.append(node.lineno)
    return sorted(found)


def test_no_error_is_swallowed_without_a_word() -> None:
    found = {path: swallowed(path.read_text(encoding="utf-8")) for path in SHIPPED + BENCH}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_an_error_that_is_swallowed_would_be_found() -> None:
    source = """
for one in many:
    try:
        use(one)
    except OSError:
        continue
with suppress(OSError):
    use(many)
with suppress(OSError):  # it is gone
    use(many)
"""
    assert swallowed(source) == [5, 7]
