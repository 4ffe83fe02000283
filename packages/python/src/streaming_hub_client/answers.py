"""The body of an HTTP answer, read within bounds: what answers may be no hub, and may never end.

By hand, because `requests` reads a body for as long as anything comes, into memory without a limit.

May touch: the network, through an answer that has begun, and the clock.
"""

from __future__ import annotations

import time

import requests
import urllib3

MOST_BYTES = 1024 * 1024
"""Longest body that is read; the hub's longest has an id for each of 1000 events."""
_BLOCK = 4096
"""Small, since a compressed block may hold a thousand times as much."""


def read_answer(answer: requests.Response, seconds: float) -> bytes:
    """Read the body of an answer, which was not read before.

    Args:
        answer: It can be read no more afterwards.
        seconds: How long it may take; a read in progress may add the timeout of its own.

    Raises:
        requests.RequestException: It breaks off, or is longer or slower than any hub's.
    """
    until = time.monotonic() + seconds
    body = b""
    try:
        while len(body) <= MOST_BYTES and time.monotonic() < until:
            part = answer.raw.read1(_BLOCK, decode_content=True)
            if not part:
                return body
            body += part
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        answer.close()
    raise requests.ConnectionError(f"the answer has not ended after {len(body)} bytes, which is no hub's")
