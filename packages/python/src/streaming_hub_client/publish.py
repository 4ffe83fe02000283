"""`publish`: sends your own events and waits for the hub's response. For an agent's session, use `attach`."""

from __future__ import annotations

import json
import random
import time
import uuid
from typing import Any

import requests

from streaming_hub_client.answers import BoundedSession, read_answer
from streaming_hub_client.authorization import bearer
from streaming_hub_client.retry import backoff, is_from_hub, json_object, retry_after, takes
from streaming_hub_client.route import route_to
from streaming_hub_client.stream import Refused, hub_address

AGAIN = frozenset({429, 502, 503, 504})
_CUT_OFF = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
"""What requests raises if the connection fails; the last one, if it fails in the middle of a response."""


def publish(
    url: str,
    event_or_list: dict[str, Any] | list[dict[str, Any]],
    *,
    key: str | None = None,
    timeout: float = 30,
) -> dict[str, Any]:
    """Send one event or several. Retries keep the `event_id` that each gets, so no event is stored twice.

    Args:
        url: The hub, or the endpoint itself if it has a path.
        event_or_list: An event, or a list of events; not modified.
        key: A publish key, if the hub requires one.
        timeout: Seconds for all attempts. Connection errors and the statuses 429 and 502 to 504 are retried.

    Returns:
        The hub's JSON response.

    Raises:
        Refused: The hub refused the events, or the last attempt before the timeout failed with this status.
        requests.RequestException: The hub could not be reached in time.
        ValueError: The URL or the key cannot be used, or an event cannot become JSON.
    """
    address = hub_address(url, "/api/agent/data")
    several = isinstance(event_or_list, list)
    events = event_or_list if isinstance(event_or_list, list) else [event_or_list]
    named = [_named(event) for event in events]
    try:
        body = json.dumps(named if several else named[0], allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"event: {error}") from error
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = bearer(key)
    deadline = time.monotonic() + timeout
    proxies, verify = route_to(address)
    attempt = 0
    with BoundedSession() as session:
        while True:
            pause = backoff(attempt, random.random(), first=0.2, longest=5.0)
            attempt += 1
            trouble: Exception
            try:
                left = max(0.1, deadline - time.monotonic())
                answer = session.post(
                    address,
                    data=body,
                    headers=headers,
                    timeout=left,
                    allow_redirects=False,
                    proxies=proxies,
                    verify=verify,
                    stream=True,
                )
                said, status = (
                    json_object(read_answer(answer, max(0.1, deadline - time.monotonic()))),
                    answer.status_code,
                )
                known = is_from_hub(status, answer.headers.get("Content-Type", ""), said)
                if known and takes(said, len(named) if several else None):
                    return said
                detail = said.get("detail") if known else None
                trouble = Refused(status, detail or _stranger(address, answer))
                if status not in AGAIN:
                    raise trouble
                pause = max(pause, retry_after(answer.headers.get("Retry-After"), time.time()))
            except _CUT_OFF as error:
                trouble = error
            if time.monotonic() + pause >= deadline:
                raise trouble
            time.sleep(pause)


def _named(event: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise ValueError(f"event: a {type(event).__name__} is not a dict")  # noqa: TRY004 - as for other values
    return {**event, "event_id": event.get("event_id") or uuid.uuid4().hex}


def _stranger(address: str, answer: requests.Response) -> str:
    to = answer.headers.get("Location")
    return f"the server at {address} is not a hub" + (f"; it redirects to {to[:200]}" if to else "")
