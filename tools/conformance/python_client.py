"""Read a stream by one of Python's clients, and print each event's data on a line: `python_client.py NAME URL`.

Runs with the packages of the client alone; imports only the one that is named.
"""

from __future__ import annotations

import asyncio
import json
import sys


def follow(url: str) -> None:
    from streaming_hub_client import follow

    for item in follow(url):
        print(json.dumps(item), flush=True)


def afollow(url: str) -> None:
    from streaming_hub_client import afollow

    async def read() -> None:
        async for item in afollow(url):
            print(json.dumps(item), flush=True)

    asyncio.run(read())


def httpx_sse(url: str) -> None:
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(timeout=None) as client, connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            print(event.data.replace("\n", ""), flush=True)


def sseclient_py(url: str) -> None:
    import requests
    import sseclient

    answer = requests.get(url, stream=True, headers={"Accept": "text/event-stream"})
    for event in sseclient.SSEClient(answer).events():
        print(event.data.replace("\n", ""), flush=True)


def aiohttp_sse_client(url: str) -> None:
    from aiohttp_sse_client import client

    async def read() -> None:
        async with client.EventSource(url) as source:
            async for event in source:
                print(event.data.replace("\n", ""), flush=True)

    asyncio.run(read())


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](sys.argv[2])
