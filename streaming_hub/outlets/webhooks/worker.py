"""The webhooks' own process, run as a module: the only one that uses their database and connects to receivers.

line          a thread that reads the hub's requests
event loop    sends webhooks, answers the hub
writer        one thread: pages, changes, outcomes, in the order in which they arrived
readers       some threads: what is due, the log
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import secrets
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.outlets.webhooks import addresses, log, signing
from streaming_hub.outlets.webhooks.dispatcher import Dispatcher
from streaming_hub.outlets.webhooks.endpoints import SETTINGS, Endpoint, Secret
from streaming_hub.outlets.webhooks.messages import Asked, Line, Page
from streaming_hub.outlets.webhooks.reports import OPERATOR
from streaming_hub.outlets.webhooks.sender import Sender
from streaming_hub.outlets.webhooks.store import Store
from streaming_hub.outlets.webhooks.tables import WEBHOOKS
from streaming_hub.sidecar.database import Away, Database
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.sidecar.worker import HubLine, main

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

READERS: Final = 2
LOOK_UPS: Final = 64
"""Maximum number of concurrent DNS look-ups: a name server that hangs must not delay other names."""
CHORE_SECONDS: Final = 5.0
STOP_SECONDS: Final = 0.4
CHECK_SECONDS: Final = 2.0
"""How long resolving a new endpoint's name may take."""
OVERLAP: Final = 86_400.0
"""Seconds for which a replaced secret still signs."""
MOST_ENDPOINTS: Final = 10_000
MOST_DESCRIPTORS: Final = 65_536
SPARE_DESCRIPTORS: Final = 200
SWITCH_SECONDS: Final = 0.0005
"""How long a thread that writes or reads rows may keep the interpreter while the event loop waits for it. With Python's
5 ms every turn of the loop takes that long, and a request needs several turns."""
MOST_REQUESTS: Final = 4_000
WITH_STATUS: Final = frozenset({"open", "begin", "given", "page", "ping", "create", "change", "delete"})
"""Requests whose answers include `_status`."""
CHANGEABLE: Final = ("url", "types", "rooms", "view", "interims", "description")


class Given(msgspec.Struct, frozen=True):
    """The endpoint from the settings."""

    url: str
    secret: str
    types: list[str]


class Config(msgspec.Struct, frozen=True):
    """The hub's first message.

    Attributes:
        url: an SQLAlchemy URL.
        retries: STREAM_WEBHOOK_RETRIES, seconds.
        disable_after: STREAM_WEBHOOK_DISABLE_AFTER, seconds.
        allow_private: STREAM_WEBHOOK_ALLOW_PRIVATE.
        max_age: STREAM_ARCHIVE_MAX_AGE, seconds.
        given: the endpoint from the settings.
        enable: whether to re-enable that endpoint, as the hub has just started.
    """

    url: str
    retries: list[float]
    disable_after: float
    allow_private: bool
    max_age: float
    given: Given | None
    enable: bool = True


class Worker:
    """Answers the hub, and sends webhooks.

    Args:
        sock: the connection to it.
        config: its first message.
    """

    def __init__(self, sock: socket.socket, config: Config) -> None:
        self._line = HubLine(sock, "webhooks")
        self._config = config
        self._database = Database(config.url, WEBHOOKS)
        self._store = Store(self._database, disable_after=config.disable_after, max_age=config.max_age)
        self._sender = Sender(allow_private=config.allow_private)
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(LOOK_UPS, "look-up"))
        self._writer = ThreadPoolExecutor(1, "writer")
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._ended = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._dispatcher = Dispatcher(
            self._store,
            self._database,
            self._sender,
            writer=self._writer,
            readers=self._readers,
            waits=config.retries,
            total=_requests(),
            report=self._line.log,
        )
        self._writing: dict[str, Callable[[Any], Any]] = {
            "open": self._open,
            "begin": lambda at: self._store.begin_epoch(*at),
            "given": self._given,
            "page": lambda page: self._store.take(msgspec.convert(page, Page)),
            "ping": lambda _nothing: self._database.check(),
            "notices": lambda _nothing: self._store.due_notices(),
            "published": self._store.published,
            "create": self._create,
            "change": self._change,
            "delete": self._store.delete,
            "replay": self._replay,
            "resend": self._resend,
            "resend_failed": lambda asked: self._store.resend_failed(
                asked["id"], asked["after"], asked["upto"]
            ),
            "erase": lambda wanted: self._store.erase(**wanted),
        }
        self._reading: dict[str, Callable[[Any], Any]] = {
            "list": self._list,
            "deliveries": lambda asked: log.page(self._database, msgspec.convert(asked, Asked)),
            "delivery": lambda asked: log.one(self._database, *asked),
        }

    async def serve(self) -> None:
        """Answer until the hub hangs up."""
        threading.Thread(target=self._listen, name="line", daemon=True).start()
        chores = asyncio.create_task(self._do_chores())
        await self._ended.wait()
        chores.cancel()
        if self._answers:
            await asyncio.wait(self._answers, timeout=STOP_SECONDS)
        await self._dispatcher.stop(STOP_SECONDS)
        self._writer.shutdown()
        self._readers.shutdown(cancel_futures=True)
        self._database.close()

    def _listen(self) -> None:
        for request in self._line.requests():
            self._loop.call_soon_threadsafe(self._take, request)
        self._loop.call_soon_threadsafe(self._ended.set)

    def _take(self, request: tuple[int, str, Any]) -> None:
        task = asyncio.ensure_future(self._answer(*request))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, number: int, what: str, arguments: Any) -> None:
        try:
            self._line.answer(number, await self._value(number, what, arguments))
        except Exception as error:  # noqa: BLE001 - logged; one bad request must not end the process
            self._line.refuse(number, what, error)

    async def _value(self, number: int, what: str, arguments: Any) -> Any:
        if what == "test":
            self._line.begin(number)
            return msgspec.to_builtins(await self._dispatcher.test(self._endpoint(arguments)))
        if what in ("create", "change") and arguments.get("url") is not None:
            self._line.begin(number)
            await self._check(arguments["url"])
        executor, table = (
            (self._readers, self._reading) if what in self._reading else (self._writer, self._writing)
        )

        def work() -> Any:
            self._line.begin(number)
            return table[what](arguments)

        value = await self._loop.run_in_executor(executor, work)
        return await self._afterwards(what, arguments, value)

    async def _afterwards(self, what: str, arguments: Any, value: Any) -> Any:
        """Do what follows a request in the event loop, and complete the answer."""
        if what == "erase":
            self._dispatcher.purge(**arguments)
        elif what == "open":
            await self._dispatcher.wake_all()
        elif what in ("change", "replay", "resend", "resend_failed"):
            self._dispatcher.due([arguments["id"]])
        elif what == "page":
            self._dispatcher.take(value)
            value = None
        if what in WITH_STATUS:
            return {"value": value, **self._status()}
        return value

    def _status(self) -> dict[str, Any]:
        store = self._store
        pending, size = store.pending
        endpoints = list(store.endpoints.values())
        return {
            "version": store.version,
            "wanted": store.wanted,
            "catching_up": store.catching_up,
            "endpoints": {
                "working": sum(one.enabled and one.failing_since is None for one in endpoints),
                "failing": sum(one.enabled and one.failing_since is not None for one in endpoints),
                "disabled": sum(not one.enabled for one in endpoints),
            },
            "pending": pending,
            "pending_bytes": size,
            "missed": sum(one.missed for one in endpoints),
            "counts": dict(self._dispatcher.counts),
        }

    async def _check(self, url: str) -> None:
        try:
            addresses.check_url(url, allow_private=self._config.allow_private)
            await self._sender.check(url, CHECK_SECONDS)
        except addresses.Forbidden as refused:
            raise Refusal("forbidden", str(refused)) from refused

    def _endpoint(self, name: str) -> Endpoint:
        found = self._store.endpoints.get(name)
        if found is None:
            raise Refusal("missing", "")
        return found

    def _open(self, _nothing: Any) -> Any:
        self._database.open()
        self._store.reload()
        return self._store.position()

    def _given(self, head: int) -> None:
        """Create, change or remove the endpoint from the settings; a new one gets events above `head`."""
        given, found = self._config.given, self._store.endpoints.get(SETTINGS)
        if given is None:
            if found is not None:
                self._store.delete(SETTINGS)
            return
        if found is None:
            found = Endpoint(
                id=SETTINGS,
                url=given.url,
                types=given.types,
                secrets=[Secret(given.secret)],
                created=time.time(),
                after=head,
            )
        keys = found.secrets
        if keys[0].secret != given.secret:
            keys = [Secret(given.secret), Secret(keys[0].secret, time.time() + OVERLAP)]
        enabled = found.enabled or self._config.enable
        self._store.save(
            msgspec.structs.replace(
                found,
                url=given.url,
                types=given.types,
                secrets=keys,
                enabled=enabled,
                reason=None if enabled else found.reason,
                failing_since=found.failing_since if found.enabled else None,
            )
        )

    def _list(self, arguments: Any) -> list[dict[str, Any]]:
        chosen = [
            one
            for one in self._store.endpoints.values()
            if arguments.get("id") in (None, one.id)
            and (arguments["allowed"] is None or _within(one.rooms, arguments["allowed"]))
        ]
        if arguments.get("id") is not None and not chosen:
            raise Refusal("missing", "")
        return self._shown(*chosen)

    def _shown(self, *several: Endpoint) -> list[dict[str, Any]]:
        pending = {one.id: self._store.held(one.id) for one in several}
        health = log.health(self._database, pending, {one.id for one in several if one.enabled})
        return [self._with_health(one, {"pending": pending[one.id], **health[one.id]}) for one in several]

    @staticmethod
    def _with_health(one: Endpoint, health: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": one.id,
            "url": one.url,
            "types": one.types,
            "rooms": one.rooms,
            "view": one.view,
            "interims": one.interims,
            "description": one.description,
            "enabled": one.enabled,
            "reason": one.reason,
            "missed": one.missed,
            "health": {"failing_since": one.failing_since, **health},
        }

    def _create(self, fields: dict[str, Any]) -> dict[str, Any]:
        if len(self._store.endpoints) >= MOST_ENDPOINTS:
            raise Refusal("full", f"There are already {MOST_ENDPOINTS} endpoints, the maximum.")
        secret = signing.make_secret()
        endpoint = Endpoint(
            id=f"wh_{secrets.token_hex(8)}",
            secrets=[Secret(secret)],
            created=time.time(),
            after=fields["after"],
            behind=fields["after"],
            **{name: fields[name] for name in CHANGEABLE if name in fields},
        )
        self._store.save(endpoint)
        return {**self._shown(endpoint)[0], "secret": secret}

    def _change(self, fields: dict[str, Any]) -> dict[str, Any]:
        found = self._endpoint(fields["id"])
        changed = msgspec.structs.replace(
            found, **{name: fields[name] for name in CHANGEABLE if name in fields}
        )
        answer: dict[str, Any] = {}
        if fields.get("rotate_secret"):
            secret = signing.make_secret()
            changed.secrets = [Secret(secret), Secret(found.secrets[0].secret, time.time() + OVERLAP)]
            answer["secret"] = secret
        if "after" in fields:
            changed.after = changed.behind = fields["after"]
        enabled = fields.get("enabled")
        if enabled is not None and enabled != found.enabled:
            changed.enabled = enabled
            changed.reason = None if enabled else OPERATOR
            changed.failing_since, changed.warned = None, False
        self._store.save(changed)
        return {**self._shown(changed)[0], **answer}

    def _replay(self, arguments: dict[str, Any]) -> int:
        lines = msgspec.convert(arguments["lines"], list[Line])
        return self._store.replay(arguments["id"], lines, filtered=arguments["filtered"])

    def _resend(self, arguments: dict[str, Any]) -> Any:
        given = arguments["lines"]
        lines = None if given is None else msgspec.convert(given, list[Line])
        return self._store.resend(arguments["id"], arguments["deliveries"], lines)

    async def _do_chores(self) -> None:
        while True:
            await asyncio.sleep(CHORE_SECONDS)
            try:
                while await self._loop.run_in_executor(self._writer, self._store.clean):
                    await asyncio.sleep(0)
            except Away as error:
                # The next page reports this and reopens the database.
                self._line.log("debug", f"webhooks: {error}")
            except Exception as error:  # noqa: BLE001 - logged; tried again
                self._line.log("error", f"unexpected error: old deliveries could not be removed: {error!r}")


def _within(rooms: list[str] | None, allowed: list[str]) -> bool:
    return rooms is not None and set(rooms) <= set(allowed)


def _requests() -> int:
    """Raise the limit of descriptors as far as allowed; return how many requests may be open at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower maximum than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    # The other half is for idle pooled connections.
    return max(20, min(MOST_REQUESTS, (soft - SPARE_DESCRIPTORS) // 2))


async def _serve(sock: socket.socket, config: Config) -> None:
    sys.setswitchinterval(SWITCH_SECONDS)
    await Worker(sock, config).serve()


if __name__ == "__main__":
    main(Config, lambda sock, config: asyncio.run(_serve(sock, config)))
