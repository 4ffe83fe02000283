"""Reads the body of an HTTP response within bounds: the server may not be a hub, and its body may never end.

By hand, because `requests` reads a body into memory without limit, for as long as data arrives.

May touch: the network, through an open response, and the clock.
"""

from __future__ import annotations

import time

import requests
import urllib3

MOST_BYTES = 1024 * 1024
"""Limit of a body; the hub's largest has an id for each of 1000 events."""
_BLOCK = 4096
"""Small, because a compressed block may decompress to a thousand times its size."""


def read_answer(answer: requests.Response, seconds: float) -> bytes:
    """Read the body of a streamed response, and close the response.

    Args:
        answer: Requested with `stream=True`.
        seconds: Time limit; a read in progress may exceed it by its own timeout.

    Raises:
        requests.RequestException: The body breaks off, or is longer or slower than a hub's.
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
    raise requests.ConnectionError(f"the body has not ended after {len(body)} bytes; a hub's is shorter")
