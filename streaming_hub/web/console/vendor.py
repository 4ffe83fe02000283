"""livekit-client for the page's Talk: from an npm package that the user installs, never part of this repository."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, send_file

from streaming_hub.errors import NotFound
from streaming_hub.web.about import SERVER, About, Answer, text
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.services import Services

blueprint = Blueprint("vendor", __name__)

CLIENT: Final = Path("node_modules/livekit-client/dist/livekit-client.umd.js")
"""In the working directory, like everything the user adds."""
HOW_TO_GET: Final = "npm install --no-save livekit-client"
_PLACE: Final = b'<meta name="referrer"'


@endpoint(
    blueprint,
    "GET",
    "/vendor/livekit-client.js",
    errors=(NotFound,),
    about=lambda: About(
        group=SERVER,
        summary="LiveKit's client, for Talk on the live page",
        text="From the npm package, if it is installed.",
        answers=(Answer(200, "The script.", (text("text/javascript", "/* livekit-client */"),)),),
    ),
)
def livekit_client() -> Response:
    """Serve the installed package's script."""
    if not CLIENT.is_file():
        raise NotFound(f"livekit-client is not installed: run `{HOW_TO_GET}` where the hub runs.")
    # Revalidated each time (304 if unchanged), so an update of the package takes effect at once.
    return send_file(CLIENT.absolute(), mimetype="text/javascript", conditional=True, max_age=0)


def with_talk(page: bytes, parts: Services, nonce: str) -> bytes:
    """Insert into the page whether Talk is available, and the nonce for its script.

    Args:
        page: the live page.
        parts: the hub's services.
        nonce: of this response's Content-Security-Policy.
    """
    missing = [] if parts.minter is not None else ["livekit"]
    if not CLIENT.is_file():
        missing.append("client")
    talk = f'<meta name="talk" content="{" ".join(missing)}" data-nonce="{html.escape(nonce)}">\n'
    return page.replace(_PLACE, talk.encode() + _PLACE, 1)
