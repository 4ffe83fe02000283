"""Append every ended call to the caller's record in a CRM: `uv run examples/webhooks/crm_notes.py`.

    hub --session_report--> this receiver --POST /contacts/IDENTITY/notes--> the CRM

Set `CRM_URL` and `CRM_KEY`, and `WEBHOOK_SECRET` to the secret of a webhook of the type `session_report`. The hub
delivers at least once, so the CRM gets the `webhook-id` as `Idempotency-Key` and adds one note for it, however often it
is asked. If the CRM is unavailable or busy (429), the hub retries; what the CRM refuses for good is answered with 422,
and the delivery ends as `failed` in the hub's log, with the CRM's answer. Needs flask, requests and
livekit-streaming-hub-client.
"""

from __future__ import annotations

import argparse
import os
from typing import Any
from urllib.parse import quote

import requests
from flask import Flask, Response, request
from streaming_hub_client import InvalidWebhook, verify_webhook


def callers(session: dict[str, Any]) -> list[str]:
    """Return the identities of the people in a call."""
    return sorted({one["identity"] for one in session["participants"] if one["role"] == "user"})


def note(report: dict[str, Any]) -> dict[str, Any]:
    """Return the note for a record."""
    session = report["session"]
    said = [f"{line['role']}: {line['text']}" for line in report["transcript"]]
    return {
        "at": session["started"],
        "title": f"Call of {session['duration']:.0f} s",
        "text": "\n".join(said) + ("\n[...]" if report.get("truncated") else ""),
        "source": f"{session['room'] or ''}/{session['session_id']}",
    }


def refusal(answer: requests.Response) -> Response:
    """Return the response to the hub if the CRM did not accept a note."""
    passing = answer.status_code in (408, 425, 429) or answer.status_code >= 500
    wait = answer.headers.get("Retry-After")
    text = f"the CRM answered {answer.status_code}: {answer.text[:500]}"
    return Response(text, answer.status_code if passing else 422, {"Retry-After": wait} if wait else None)


def make_app(secret: str, crm_url: str, crm_key: str) -> Flask:
    """Return the receiver."""
    app = Flask(__name__)

    @app.post("/hook")
    def hook() -> Response:
        try:
            message = verify_webhook(request.get_data(), request.headers, secret)
        except InvalidWebhook:
            return Response(status=401)
        if message["type"] != "session_report":
            return Response(status=204)
        report = message["data"]
        for identity in callers(report["session"]):
            try:
                answer = requests.post(
                    f"{crm_url}/contacts/{quote(identity, safe='')}/notes",
                    json=note(report),
                    headers={
                        "Authorization": f"Bearer {crm_key}",
                        # In a call with several people each gets one note.
                        "Idempotency-Key": f"{request.headers['webhook-id']}:{quote(identity, safe='')}",
                    },
                    timeout=5,
                    # A redirect would turn the POST into a GET without its body.
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                return Response(f"the CRM cannot be reached ({type(error).__name__})", 503)
            if not 200 <= answer.status_code < 300:
                return refusal(answer)
        return Response(status=204)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Append every ended call to the caller's record in a CRM.")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    missing = [name for name in ("WEBHOOK_SECRET", "CRM_URL", "CRM_KEY") if not os.environ.get(name)]
    if missing:
        parser.error(f"set {' and '.join(missing)} in the environment; see docs/guides/webhooks.md")
    app = make_app(os.environ["WEBHOOK_SECRET"], os.environ["CRM_URL"].rstrip("/"), os.environ["CRM_KEY"])
    app.run(port=options.port)


if __name__ == "__main__":
    main()
