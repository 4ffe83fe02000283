"""What `tests.uploads.record` has recorded, read and sent again."""

from __future__ import annotations

import base64
import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import requests

FOLDER = Path(__file__).parent / "recorded"
VERSION = "1.8.9"
VERSIONS = ("1.8.0", VERSION)
"""Of livekit-agents: one recorded call each."""
REDACTED = "1.8.9-redacted"
NODE = "node-1.9.0"
"""Of @livekit/agents."""
KEY, SECRET = "devkey", "a_secret_of_at_least_32_bytes_____"
PROJECT = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}


@dataclass(frozen=True)
class Upload:
    """One request."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.path.split("/")[2]

    @property
    def content_type(self) -> str:
        return self.headers["content-type"]

    @property
    def encoding(self) -> str:
        return self.headers.get("content-encoding", "")


def uploads(version: str = VERSION) -> list[Upload]:
    """Return the uploads of one call, in order."""
    with gzip.open(FOLDER / version / "uploads.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    return [Upload(one["at"], one["path"], one["headers"], base64.b64decode(one["body"])) for one in found]


def attached(version: str = VERSION) -> list[dict[str, Any]]:
    """Return the events that `attach` sent of the same call."""
    text = (FOLDER / version / "attached.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def token(*, secret: str = SECRET, **claims: Any) -> str:
    """Return a token as the SDK signs it; None takes a claim out."""
    now = int(time.time())
    told = {"iss": KEY, "sub": "", "nbf": now, "exp": now + 21600, "observability": {"write": True}} | claims
    return jwt.encode({name: value for name, value in told.items() if value is not None}, secret, "HS256")


def send(
    url: str, one: Upload, *, body: bytes | None = None, bearer: str | None = None, **headers: str
) -> requests.Response:
    """Send an upload to a hub, with a token of now."""
    kept = {name: one.headers[name] for name in ("content-type", "content-encoding") if name in one.headers}
    authorization = {"Authorization": f"Bearer {token() if bearer is None else bearer}"}
    return requests.post(
        url + one.path,
        data=one.body if body is None else body,
        headers={**kept, **authorization, **headers},
        timeout=60,
    )


def send_all(url: str, version: str = VERSION, kinds: tuple[str, ...] = ()) -> None:
    """Send a whole call's uploads."""
    for one in uploads(version):
        if not kinds or one.kind in kinds:
            answer = send(url, one)
            assert (answer.status_code, answer.content) in ((200, b""), (200, b"{}")), answer.text
