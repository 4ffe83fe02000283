"""The receivers of docs/guides/webhooks.md, as printed: each takes what is signed, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from streaming_hub.outlets.webhooks import signing
from tests.kit.process import ROOT, SECONDS, Program, free_port
from tests.kit.wait import until
from tests.packages.node import PACKAGE, node, npm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = signing.make_secret()
BODY = b'{"type":"session_ended","timestamp":"2026-11-23T10:34:43.310Z","data":{"room":"support-7"}}'


def receiver(title: str) -> str:
    """Return the code of a section of the guide."""
    text = (ROOT / "docs/guides/webhooks.md").read_text(encoding="utf-8")
    section = text.partition(f"\n### {title}\n")[2].partition("\n### ")[0]
    found = re.search(r"```(?:python|js)\n(.*?)```", section, re.DOTALL)
    assert found, title
    return found[1]


def python_app(title: str) -> Any:
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(receiver(title), title, "exec", dont_inherit=True), names)
    return names["app"]


def requests_to_make() -> list[tuple[bytes, dict[str, str], int]]:
    """Bodies and headers, and how they must be answered."""
    good = {"content-type": "application/json", **signing.headers("1-2", BODY, [SECRET], time.time())}
    other = signing.headers("1-2", BODY, [signing.make_secret()], time.time())
    old = signing.headers("1-2", BODY, [SECRET], time.time() - 3600)
    wrong = ((BODY + b" ", good), (BODY, good | other), (BODY, good | old), (BODY, {}))
    kind = {"content-type": "application/json"}
    return [(BODY, good, 204), *((body, kind | headers, 401) for body, headers in wrong)]


def check(post: Callable[[bytes, dict[str, str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    for body, headers, status in requests_to_make():
        assert post(body, headers) == status
        assert ("session_ended support-7" in capsys.readouterr().out) == (status == 204)


def test_flask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    client = python_app("Flask").test_client()
    check(lambda body, headers: client.post("/hook", data=body, headers=headers).status_code, capsys)


def test_flask_as_the_guide_starts_it(tmp_path: Path) -> None:
    guide = (ROOT / "docs/guides/webhooks.md").read_text(encoding="utf-8")
    found = re.search(r"As `receiver\.py`: `(flask [^`]*--port) 9000`", guide)
    assert found is not None
    (tmp_path / "receiver.py").write_text(receiver("Flask"))
    port = free_port()
    command = [sys.executable, "-m", *found[1].split(), str(port)]
    program = Program(command, tmp_path, WEBHOOK_SECRET=SECRET, PYTHONUNBUFFERED="1")
    try:
        check_program(program, port)
    finally:
        program.kill()


def test_fastapi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    app = python_app("FastAPI")

    async def ask(body: bytes, headers: dict[str, str]) -> int:
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/hook",
            "raw_path": b"/hook",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return int(sent[0]["status"])

    check(lambda body, headers: asyncio.run(ask(body, headers)), capsys)


PACKAGES = {"express": "5.3.0", "next": "16.4.6", "react": "19.3.1", "react-dom": "19.3.1"}
"""What the guide's JavaScript receivers need, beside the hub's own package."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the receivers' packages, the hub's as users get it."""
    folder = tmp_path_factory.mktemp("receivers")
    # Its types are built from sources that are here, and these receivers are JavaScript.
    (packed,) = json.loads(
        npm("pack", "--json", "--ignore-scripts", f"--pack-destination={folder}", cwd=PACKAGE)
    )
    dependencies = {**PACKAGES, packed["name"]: f"file:{packed['filename']}"}
    about = {"name": "receivers", "private": True, "type": "module", "dependencies": dependencies}
    (folder / "package.json").write_text(json.dumps(about))
    npm("install", cwd=folder)
    return folder


def check_program(program: Program, port: int) -> None:
    """Check a receiver that listens on a port."""

    def post(body: bytes, headers: dict[str, str]) -> int:
        url = f"http://127.0.0.1:{port}/hook"
        return requests.post(url, data=body, headers=headers, timeout=SECONDS).status_code

    def listens() -> bool:
        assert program.process.poll() is None, program.log
        with contextlib.suppress(requests.ConnectionError):
            return post(b"", {}) in (401, 404)
        return False

    until(listens, 120, lambda: program.log)
    seen = 0

    def printed() -> str:
        nonlocal seen
        new = program.lines[seen:]
        seen += len(new)
        return "\n".join(line for line in new if "session_ended" in line)

    for body, headers, status in requests_to_make():
        assert post(body, headers) == status, program.log
        if status == 204:
            program.wait_for("session_ended support-7")
    assert printed().count("session_ended support-7") == 1


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_express(packages: Path) -> None:
    (packages / "receiver.js").write_text(receiver("Express"))
    port = free_port()
    command = [node(), str(packages / "receiver.js")]
    program = Program(command, packages, WEBHOOK_SECRET=SECRET, PORT=str(port))
    try:
        check_program(program, port)
    finally:
        program.kill()


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_nextjs(packages: Path) -> None:
    place = packages / "app" / "hook"
    place.mkdir(parents=True)
    (place / "route.js").write_text(receiver("Next.js"))
    (packages / "app" / "layout.js").write_text("export default ({ children }) => children;\n")
    port = free_port()
    next_js = str(packages / "node_modules/next/dist/bin/next")
    settings = {"WEBHOOK_SECRET": SECRET, "NEXT_TELEMETRY_DISABLED": "1"}
    build = Program([node(), next_js, "build"], packages, **settings)
    try:
        assert build.process.wait(240) == 0, build.log
        program = Program(
            [node(), next_js, "start", "--hostname", "127.0.0.1", "-p", str(port)], packages, **settings
        )
        try:
            check_program(program, port)
        finally:
            program.kill()
    finally:
        build.kill()
