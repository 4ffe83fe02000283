"""Alert a chat once when answers become slow: `uv run examples/webhooks/latency_alert.py`.

    hub --turn_metrics--> this receiver --one message when p95 becomes bad, one when it is good again--> chat

Looks at the p95 of `e2e_latency` (LiveKit's end-to-end latency of a turn, seconds) over the newest turns of all calls.
It is bad above `--limit`, and good again below 80 % of it, so a value near the limit does not alert again and again.
Values and state are in a file: a webhook that arrives twice counts once, and a restart does not alert again. Set
`CHAT_WEBHOOK_URL`, and `WEBHOOK_SECRET` to the secret of a webhook of the type `turn_metrics`. Needs flask, requests
and livekit-streaming-hub-client.
"""

from __future__ import annotations

import argparse
import math
import os
import sqlite3
from contextlib import closing
from typing import Any

import requests
from flask import Flask, request
from streaming_hub_client import InvalidWebhook, verify_webhook

SCHEMA = """
CREATE TABLE IF NOT EXISTS turns (number INTEGER PRIMARY KEY, id TEXT UNIQUE, latency REAL);
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), bad INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0);
"""
KNOWN = 10_000
"""Turns whose ids are remembered, so that repeats do not count."""
GOOD_AGAIN = 0.8


def p95(values: list[float]) -> float:
    """Return the 95th percentile by nearest rank, as the hub computes it."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def verdict(values: list[float], limit: float, window: int, *, bad: bool) -> bool:
    """Return whether the latency is bad now, given whether it was."""
    if len(values) < window:
        return bad
    return p95(values) > (limit * GOOD_AGAIN if bad else limit)


def make_app(secret: str, chat_url: str, file: str, *, limit: float, window: int) -> Flask:
    """Return the receiver.

    Args:
        secret: of the webhook.
        chat_url: the chat tool's incoming webhook.
        file: where values and state are kept.
        limit: seconds.
        window: number of turns for p95.
    """
    app = Flask(__name__)
    with closing(sqlite3.connect(file)) as db:
        db.executescript(SCHEMA)

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        try:
            message = verify_webhook(request.get_data(), request.headers, secret)
        except InvalidWebhook:
            return "", 401
        latency = message["data"].get("e2e_latency") if message["type"] == "turn_metrics" else None
        if not isinstance(latency, int | float):
            return "", 204
        with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as db:
            # Webhooks of several rooms arrive at the same time; the lock ensures one message.
            db.execute("BEGIN IMMEDIATE")
            new = db.execute(
                "INSERT OR IGNORE INTO turns (id, latency) VALUES (?, ?)",
                (request.headers["webhook-id"], latency),
            ).rowcount
            text = change(db) if new else None
            if text is not None:
                try:
                    # A redirect would turn the POST into a GET without its body.
                    answer = requests.post(chat_url, json={"text": text}, timeout=5, allow_redirects=False)
                except requests.RequestException as error:
                    return f"the chat cannot be reached ({type(error).__name__})", 503
                if not 200 <= answer.status_code < 300:
                    # Nothing is committed: when the hub retries, the message is sent, too.
                    return f"the chat answered {answer.status_code}", 503
            db.execute("COMMIT")
        return "", 204

    def change(db: sqlite3.Connection) -> str | None:
        """Update the state; return a message if it has changed."""
        db.execute("DELETE FROM turns WHERE number <= (SELECT max(number) FROM turns) - ?", (KNOWN,))
        rows: list[Any] = db.execute(
            "SELECT latency FROM turns ORDER BY number DESC LIMIT ?", (window,)
        ).fetchall()
        values = [row[0] for row in rows]
        was_bad = bool(db.execute("SELECT bad FROM state").fetchone()[0])
        is_bad = verdict(values, limit, window, bad=was_bad)
        if is_bad == was_bad:
            return None
        db.execute("UPDATE state SET bad = ?", (is_bad,))
        state = "Slow answers" if is_bad else "Answers are quick again"
        return f"{state}: p95 of the newest {window} turns is {p95(values):.2f} s (limit {limit:g} s)"

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Alert a chat when the latency is bad, once.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--file", default="latency.db", help="keeps values and state (%(default)s)")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds (%(default)s)")
    parser.add_argument("--window", type=int, default=50, help="number of turns for p95 (%(default)s)")
    options = parser.parse_args()
    missing = [name for name in ("WEBHOOK_SECRET", "CHAT_WEBHOOK_URL") if not os.environ.get(name)]
    if missing:
        parser.error(f"set {' and '.join(missing)} in the environment; see docs/guides/webhooks.md")
    app = make_app(
        os.environ["WEBHOOK_SECRET"],
        os.environ["CHAT_WEBHOOK_URL"],
        options.file,
        limit=options.limit,
        window=options.window,
    )
    app.run(port=options.port)


if __name__ == "__main__":
    main()
