"""Read a stream by one of Python's clients, and print each event's data on a line: `python_client.py NAME URL`.

Each is used as its README shows. Runs with the packages of that client alone, and imports no other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def show(data: str, kind: str = "message") -> None:
    if kind == "message":
        print(data.replace("\n", ""), flush=True)


def follow(url: str) -> None:
    from streaming_hub_client import follow

    for item in follow(url):
        show(json.dumps(item))


def afollow(url: str) -> None:
    from streaming_hub_client import afollow

    async def read() -> None:
        async for item in afollow(url):
            show(json.dumps(item))

    asyncio.run(read())


def httpx_sse(url: str) -> None:
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(timeout=None) as client, connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            show(event.data, event.event)


def sseclient_py(url: str) -> None:
    import requests
    import sseclient

    answer = requests.get(url, stream=True, headers={"Accept": "text/event-stream"})
    for event in sseclient.SSEClient(answer).events():
        show(event.data, event.event)


def aiohttp_sse_client(url: str) -> None:
    from aiohttp_sse_client import client

    async def read() -> None:
        async with client.EventSource(url) as source:
            async for event in source:
                show(event.data, event.type or "message")

    asyncio.run(read())


def main(name: str, url: str) -> None:
    clients: dict[str, Any] = {
        "follow": follow,
        "afollow": afollow,
        "httpx-sse": httpx_sse,
        "sseclient-py": sseclient_py,
        "aiohttp-sse-client": aiohttp_sse_client,
    }
    try:
        clients[name](url)
    except Exception as error:
        show(json.dumps({"error": f"{type(error).__name__}: {error}"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
