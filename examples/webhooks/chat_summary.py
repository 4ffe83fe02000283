"""Post a summary of every ended call to a chat: `uv run examples/webhooks/chat_summary.py`.

    hub --session_report--> this receiver --{"text": ...}--> the chat tool's incoming webhook

Set `CHAT_WEBHOOK_URL` to the address that the chat tool gives you (Slack, Mattermost, Rocket.Chat and others take
`{"text": ...}`), and `WEBHOOK_SECRET` to the secret of a webhook of the type `session_report`. A file remembers what
was posted, so a webhook that arrives again is not posted again. While the chat does not accept a message, the receiver
answers 503, and the hub retries. Needs flask, requests and livekit-streaming-hub-client.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
from contextlib import closing
from typing import Any

import requests
from flask import Flask, request
from streaming_hub_client import InvalidWebhook, verify_webhook

LAST_WORDS = 3
"""Lines of the transcript that the summary ends with."""


def escaped(text: object) -> str:
    """Escape what the chat would interpret: a caller's words must not mention everyone."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} s"


def summary(report: dict[str, Any]) -> str:
    """Return the message about a call."""
    session = report["session"]
    heard = session["heard_latency"]
    lines = [
        f"Call in {escaped(session['room'] or 'no room')} ended: {escaped(session['reason'] or 'unknown reason')}",
        f"{seconds(session['duration'])}, {session['turns']} turns, {session['interruptions']} interruptions, "
        f"{session['tool_failures'] or 0} of {session['tool_calls'] or 0} tool calls failed, "
        f"answers heard after {seconds(heard and heard['p95'])} (p95)",
    ]
    words = [line for line in report["transcript"] if line["text"]][-LAST_WORDS:]
    lines += [f"> {escaped(line['role'] or 'unknown')}: {escaped(line['text'])}" for line in words]
    return "\n".join(lines)


def make_app(secret: str, chat_url: str, file: str) -> Flask:
    """Return the receiver; `file` remembers what was posted."""
    app = Flask(__name__)
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS posted (id TEXT PRIMARY KEY)")

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        try:
            message = verify_webhook(request.get_data(), request.headers, secret)
        except InvalidWebhook:
            return "", 401
        if message["type"] != "session_report":
            return "", 204
        name = (request.headers["webhook-id"],)
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            if db.execute("SELECT 1 FROM posted WHERE id = ?", name).fetchone():
                return "", 204
            try:
                # A redirect would turn the POST into a GET without its body.
                text = {"text": summary(message["data"])}
                answer = requests.post(chat_url, json=text, timeout=10, allow_redirects=False)
            except requests.RequestException as error:
                return f"the chat cannot be reached ({type(error).__name__})", 503
            if not 200 <= answer.status_code < 300:
                return f"the chat answered {answer.status_code}", 503
            db.execute("INSERT OR IGNORE INTO posted VALUES (?)", name)
        return "", 204

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Post a summary of every ended call to a chat.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--file", default="posted.db", help="remembers what was posted (%(default)s)")
    options = parser.parse_args()
    missing = [name for name in ("WEBHOOK_SECRET", "CHAT_WEBHOOK_URL") if not os.environ.get(name)]
    if missing:
        parser.error(f"set {' and '.join(missing)} in the environment; see docs/guides/webhooks.md")
    app = make_app(os.environ["WEBHOOK_SECRET"], os.environ["CHAT_WEBHOOK_URL"], options.file)
    app.run(port=options.port)


if __name__ == "__main__":
    main()
