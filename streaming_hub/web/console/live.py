"""The live page."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

from flask import Blueprint, Response

from streaming_hub import resources
from streaming_hub.web.about import page as about_page
from streaming_hub.web.console import vendor
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("pages", __name__)

PAGE: Final = resources.live_page()
_TITLE: Final = b"<h1>Agent stream</h1>"
_DEMO: Final = b'<span class="pill" data-tone="warn">Demo</span>'


@endpoint(blueprint, "GET", "/", about=lambda: about_page("The live page"))
@endpoint(
    blueprint,
    "GET",
    "/stream-test.html",
    about=lambda: about_page("The live page, by its file name"),
)
def page() -> Response:
    """Serve the live page; its policy allows only its own script and style, and LiveKit's client."""
    nonce = secrets.token_urlsafe(16)
    html = vendor.with_talk(PAGE.read_bytes(), services(), nonce)
    if services().settings.demo:
        html = html.replace(_TITLE, _TITLE + _DEMO, 1)
    return Response(
        html,
        mimetype="text/html",
        headers={
            "Content-Security-Policy": content_security_policy(html, nonce),
            "Cache-Control": "no-cache",
        },
    )


def content_security_policy(html: bytes, nonce: str) -> str:
    """Return a policy that allows exactly the script and the style in the page, and the script that it loads.

    Args:
        html: the page as sent.
        nonce: of the one script that the page loads (`streaming_hub.web.console.vendor`).
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
