"""The receivers of docs/guides/webhooks.md: each takes what is signed, and nothing else."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

from streaming_hub.outlets.webhooks import signing
from tests.kit.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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


def check(post: Callable[[bytes, dict[str, str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    good = {"content-type": "application/json", **signing.headers("1-2", BODY, [SECRET], time.time())}
    assert post(BODY, good) == 204
    assert "session_ended support-7" in capsys.readouterr().out
    other = signing.headers("1-2", BODY, [signing.make_secret()], time.time())
    old = signing.headers("1-2", BODY, [SECRET], time.time() - 3600)
    for body, headers in ((BODY + b" ", good), (BODY, good | other), (BODY, good | old), (BODY, {})):
        assert post(body, {"content-type": "application/json", **headers}) == 401
    assert capsys.readouterr().out == ""


def test_flask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    client = python_app("Flask").test_client()
    check(lambda body, headers: client.post("/hook", data=body, headers=headers).status_code, capsys)


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
