"""The peer sse-starlette: the hub that its documentation leads to, a queue for each subscriber.

Run by uvicorn in an environment of its own (see peers.py); the project does not depend on it.
"""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

queues: set[asyncio.Queue[str]] = set()


async def _events(queue: asyncio.Queue[str]) -> AsyncIterator[dict[str, str]]:
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        queues.discard(queue)


async def subscribe(_request: Request) -> Response:
    """Open a stream; its queue is there before the response's head is sent."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)
    return EventSourceResponse(_events(queue))


async def publish(request: Request) -> Response:
    """Hand the body to every queue."""
    text = (await request.body()).decode()
    for queue in queues:
        queue.put_nowait(text)
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/subscribe", subscribe), Route("/publish", publish, methods=["POST"])])
