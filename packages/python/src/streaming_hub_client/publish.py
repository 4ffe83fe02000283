"""`publish`: sends your own events and waits for the hub's answer. For agents' sessions there is `attach`."""

from __future__ import annotations

import json
import random
import time
import uuid
from typing import Any

import requests

from streaming_hub_client.answers import BoundedAdapter, read_answer
from streaming_hub_client.authorization import bearer
from streaming_hub_client.retry import backoff, retry_after, takes
from streaming_hub_client.route import route_to
from streaming_hub_client.stream import Refused, hub_address

AGAIN = frozenset({429, 502, 503, 504})
_CUT_OFF = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
"""What requests raises where the connection fails, the last one in the middle of the answer."""


def publish(
    url: str,
    event_or_list: dict[str, Any] | list[dict[str, Any]],
    *,
    key: str | None = None,
    timeout: float = 30,
) -> dict[str, Any]:
    """Send one event or several; each gets an `event_id` that its retries keep, so that none is stored twice.

    Args:
        url: The hub, or the endpoint itself where it has a path.
        event_or_list: What to send; not changed.
        key: A publish key, where the hub asks for one.
        timeout: Seconds for all attempts: connection errors, 429 and 502 to 504 are tried again.

    Returns:
        The hub's JSON.

    Raises:
        Refused: The hub refuses, or answered nothing better in time.
        requests.RequestException: It could not be reached in time.
        ValueError: The URL or the key cannot be used.
    """
    address = hub_address(url, "/api/agent/data")
    several = isinstance(event_or_list, list)
    events = event_or_list if isinstance(event_or_list, list) else [event_or_list]
    named = [{**event, "event_id": event.get("event_id") or uuid.uuid4().hex} for event in events]
    deadline = time.monotonic() + timeout
    proxies, verify = route_to(address)
    attempt = 0
    with requests.Session() as session:
        session.trust_env = False  # nothing from .netrc
        for scheme in ("http://", "https://"):
            session.mount(scheme, BoundedAdapter())
        while True:
            pause = backoff(attempt, random.random(), first=0.2, longest=5.0)
            attempt += 1
            trouble: Exception
            try:
                left = max(0.1, deadline - time.monotonic())
                answer = session.post(
                    address,
                    json=named if several else named[0],
                    headers={"Authorization": bearer(key)} if key else {},
                    timeout=left,
                    allow_redirects=False,
                    proxies=proxies,
                    verify=verify,
                    stream=True,
                )
                said = _object(read_answer(answer, max(0.1, deadline - time.monotonic())))
                if answer.status_code == 200 and takes(said, len(named) if several else None):
                    return said
                trouble = Refused(answer.status_code, str(said.get("detail") or _stranger(address, answer)))
                if answer.status_code not in AGAIN:
                    raise trouble
                pause = max(pause, retry_after(answer.headers.get("Retry-After"), time.time()))
            except _CUT_OFF as error:
                trouble = error
            if time.monotonic() + pause >= deadline:
                raise trouble
            time.sleep(pause)


def _stranger(address: str, answer: requests.Response) -> str:
    to = answer.headers.get("Location")
    return f"what answers at {address} is not a hub" + (f"; it redirects to {to[:200]}" if to else "")


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
