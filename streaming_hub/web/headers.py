"""Headers of every response: no type sniffing, no referrer, no framing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import request

if TYPE_CHECKING:
    from flask import Flask, Response

EVERYWHERE: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
POLICY: Final = "Content-Security-Policy"
NO_PAGE: Final = "default-src 'none'; frame-ancestors 'none'"
"""For answers that are no pages: should a browser show one all the same, nothing in it runs or loads."""


def init_app(app: Flask) -> None:
    """Add them to every answer; a page brings a policy of its own."""
    app.after_request(_protect)


def _protect(answer: Response) -> Response:
    answer.headers.update(EVERYWHERE)
    if request.method == "OPTIONS" and answer.status_code == 200:
        del answer.headers["Content-Type"]  # Flask's own answer says HTML, and has no body
    answer.headers.setdefault(POLICY, NO_PAGE)
    return answer
