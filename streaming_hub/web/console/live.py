"""The live page, and health."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response

from streaming_hub import __version__
from streaming_hub.web import answers
from streaming_hub.web.console import vendor
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.web.api.answer_types import Health

blueprint = Blueprint("pages", __name__)

PAGE: Final = Path(__file__).resolve().parents[3] / "stream-test.html"


@endpoint(blueprint, "GET", "/")
@endpoint(blueprint, "GET", "/stream-test.html")
def page() -> Response:
    """Serve the live page; nothing but its own script and style, and LiveKit's client, may run in it."""
    nonce = secrets.token_urlsafe(16)
    html = vendor.with_talk(PAGE.read_bytes(), services(), nonce)
    return Response(
        html,
        mimetype="text/html",
        headers={
            "Content-Security-Policy": content_security_policy(html, nonce),
            "Cache-Control": "no-cache",
        },
    )


@endpoint(blueprint, "GET", "/api/health")
def health() -> Response:
    """Tell whether the server takes requests: 503 while it drains."""
    parts = services()
    body: Health = {
        "status": "draining" if parts.draining else "ok",
        "version": __version__,
        "clients": len(parts.hub),
        "archive": "off" if parts.archive is None else parts.archive.state,
        "uptime": round(parts.clock() - parts.started_at, 3),
    }
    return answers.json(body, 503 if parts.draining else 200)


def content_security_policy(html: bytes, nonce: str) -> str:
    """Return a policy that allows exactly the script and the style in the page, and the script that it loads.

    Args:
        html: the page as sent.
        nonce: which the page puts on the one script that it loads (`streaming_hub.web.console.vendor`).
    """
    scripts = " ".join((*_hashes(html, b"script"), f"'nonce-{nonce}'"))
    styles = " ".join(_hashes(html, b"style"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src *; img-src 'self' data:; "
        "media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(html: bytes, tag: bytes) -> list[str]:
    blocks = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(block).digest()).decode("ascii") for block in blocks]
    return [f"'sha256-{digest}'" for digest in digests] or ["'none'"]
