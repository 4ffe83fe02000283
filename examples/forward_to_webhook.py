"""Forward events to a webhook, without a gap: `uv run examples/forward_to_webhook.py http://localhost:9000/hook`.

An event counts as forwarded once the webhook itself has answered 2xx (a redirect does not count); then the position is
written to a file, and the next run resumes there. So each event arrives at least once: after a crash the last one may
arrive twice, with the same `Idempotency-Key`. If events are missing, the webhook gets an event of type `gap`.
Needs livekit-streaming-hub-client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import requests
from streaming_hub_client import Gap, Refused, afollow

LONGEST_PAUSE = 60.0
IDLE = 1.0
"""Seconds without an event after which the position is saved: events that the filter leaves out move it, too."""


def deliver(webhook: requests.Session, url: str, name: str, event: dict[str, Any]) -> None:
    """Post one event until the webhook accepts it; skip it if the webhook refuses it for good (400, 410, 422)."""
    pause = 0.5
    while True:
        try:
            headers = {"Idempotency-Key": name, "Content-Type": "application/json"}
            # A redirect would turn the POST into a GET without its body.
            answer = webhook.post(
                url, data=json.dumps(event), headers=headers, timeout=10, allow_redirects=False
            )
            if 200 <= answer.status_code < 300:
                return
            if answer.status_code in (400, 410, 422):
                print(f"the webhook refused {name}: {answer.status_code}")
                return
            to = answer.headers.get("Location")
            reason = f"{answer.status_code}{f', a redirect to {to}' if to else ''}"
        except requests.RequestException as error:
            reason = str(error)
        print(f"the webhook did not accept {name}, trying again in {pause:g} s: {reason}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def remember(place: Path, position: str) -> None:
    """Write the position so that a crash leaves either the old one or the new one."""
    draft = place.with_name(place.name + ".new")
    draft.write_text(position)
    draft.replace(place)


async def forward(hub: str, url: str, place: Path, types: list[str] | None) -> None:
    """Forward events, and save the position after each."""
    saved = place.read_text().strip() if place.exists() else None
    async with afollow(hub, key=os.environ.get("STREAM_KEY"), since=saved, types=types) as stream:
        webhook = requests.Session()
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                item = await asyncio.wait_for(anext(stream), IDLE)
                event = {"type": "gap", **item._asdict()} if isinstance(item, Gap) else item
                await asyncio.to_thread(deliver, webhook, url, stream.position, event)
            if stream.position != saved:
                saved = stream.position
                remember(place, saved)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forward a hub's events to a webhook.")
    parser.add_argument("webhook", help="where to POST the events")
    parser.add_argument(
        "--hub",
        default=os.environ.get("STREAM_URL") or "http://localhost:5000",
        help="its address; STREAM_URL by default",
    )
    parser.add_argument("--type", action="append", help="only events of this type; may be repeated")
    parser.add_argument(
        "--place",
        type=Path,
        default=Path("forwarded.position"),
        help="the file that remembers the position (%(default)s)",
    )
    options = parser.parse_args()
    asyncio.run(forward(options.hub, options.webhook, options.place, options.type))


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"Refused by the hub: {error} Put a subscribe key into STREAM_KEY.")
    except KeyboardInterrupt:
        print()
