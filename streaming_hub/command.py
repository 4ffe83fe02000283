"""The command-line program: options, start-up, shutdown on signals. Serves with gevent."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

import gevent
import msgspec
from gevent.event import Event

from streaming_hub import __version__, logs, signals
from streaming_hub.access import OPERATE, PUBLISH, SUBSCRIBE
from streaming_hub.access.exposure import refuse_open_off_loopback
from streaming_hub.agents.mode import choose_mode
from streaming_hub.demo.process import DemoProcess
from streaming_hub.errors import SettingsError, StorageError
from streaming_hub.history import shared
from streaming_hub.server.listening import LOOPBACK, listen, listen_at, why_not
from streaming_hub.server.server import Server
from streaming_hub.server.serving import begin, url_of
from streaming_hub.server.workers import MOST, Child, Workers, place
from streaming_hub.settings import (
    AGENT_TABLE,
    BY_NAME,
    TABLE,
    Settings,
    load,
    values,
)
from streaming_hub.web.current import services_of
from streaming_hub.wording import listing, not_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask

    from streaming_hub.services import Services

log = logging.getLogger(__name__)

PROGRAM: Final = "streaming-hub"
SAME_SIGNAL: Final = signals.SAME

MOST_DEMO_CALLS: Final = 1000


def run(
    create_app: Callable[[Settings], Flask], arguments: Sequence[str] | None, program: str = PROGRAM
) -> int:
    """Start the server and serve until a signal ends it.

    Args:
        create_app: builds the application from settings.
        arguments: the command line; `sys.argv` by default.
        program: the command's name, for its help and its errors.

    Returns:
        0, or 2 when the server cannot start.
    """
    where = place()
    options = _parser(program).parse_args(arguments)
    given = {name: value for name in ("host", "port") if (value := getattr(options, name)) is not None}
    try:
        with ExitStack() as until_end:
            if options.demo:
                folder = until_end.enter_context(tempfile.TemporaryDirectory(prefix="streaming-hub-demo-"))
                given |= _demo_settings(options.demo, folder)
            settings = load(**given)
            logs.configure(settings.log_format)
            for doubt in settings.doubts:
                log.warning("%s", doubt)
            refuse_open_off_loopback(settings, settings.host or LOOPBACK[0])
            if where is None and options.workers > 1:
                return _run_workers(settings, options.workers)
            child = None if where is None else Child(where)
            if child is not None and settings.node is not None:
                # No two nodes may have one name.
                settings = msgspec.structs.replace(settings, node=f"{settings.node}-{child.number}")
            serve(create_app(settings), settings, child)
    except SettingsError as error:
        return _fail(program, str(error))
    except StorageError as error:
        # A second server on the same directory runs into both problems; report both at once.
        # A worker inherits its port.
        taken = why_not(settings.host, settings.port) if where is None else None
        return _fail(program, " ".join(filter(None, (str(error), taken))))
    return 0


def _demo_settings(count: int, folder: str) -> dict[str, Any]:
    """Return the settings of a demo: nothing of it outlasts the hub, and nothing of the operator's is touched."""
    return {
        "demo": count,
        "history": "memory://",
        "archive": f"sqlite:///{folder}/archive.db",
        "webhook_url": None,
    }


def _run_workers(settings: Settings, count: int) -> int:
    """Be the parent of several nodes on one port; return the exit code.

    Raises:
        SettingsError: the history cannot be shared, or the address cannot be used.
    """
    if not shared(settings.history):
        raise SettingsError(
            f"--workers {count}: several workers need Redis; with {settings.history}, each would have its own history. "
            "Set STREAM_HISTORY=redis://HOST:6379/0, or leave --workers out."
        )
    listeners = listen_at(settings.host, settings.port)
    log.info("starting %d workers at %s", count, url_of(listeners[0]))
    return Workers(count, listeners).run()


def serve(app: Flask, settings: Settings, child: Child | None = None) -> None:
    """Serve an application until SIGTERM or SIGINT, then drain.

    Args:
        app: the application.
        settings: where it listens.
        child: this process as one of several workers, whose parent listens.

    Raises:
        SettingsError: the address cannot be used.
    """
    parts = services_of(app)
    try:
        listeners = listen_at(settings.host, settings.port) if child is None else child.listeners
        # A node's own address, which no other answers: for its metrics and its agent.
        own = [listen(LOOPBACK[0], 0)] if parts.history.shared else []
    except (SettingsError, OSError):
        parts.stop()
        raise
    ended = _handle_signals()
    if os.getpid() == 1:
        # Process 1 inherits the agent's orphans: let libev reap them.
        gevent.get_hub().loop.install_sigchld()
    writer = begin(parts, url_of((own or listeners)[0]))
    servers = [Server(listener, app, writer, shared=child is not None) for listener in listeners]
    for server in servers:
        server.start()
    own_servers = [Server(listener, app, writer) for listener in own]
    for server in own_servers:
        server.start()
    if parts.archive is not None:
        log.info("%s", parts.archive.description)
    if own:
        log.info("node %s, metrics at %s/metrics", parts.node, parts.url)
    if child is not None:
        child.end_with_parent()
        child.serves()
    if child is None or child.greets:
        _greet(parts, url_of(listeners[0]))
    demo = DemoProcess(parts.url, parts.agent_key, settings.demo) if settings.demo else None
    ended.wait()
    log.info("%s", _farewell(parts))
    if demo is not None:
        demo.stop()
    if own:
        # The other nodes take new requests; the agent's last words arrive at this node's own address.
        for server in servers:
            server.retire()
    parts.stop(writer.drain)
    for server in (*servers, *own_servers):
        server.stop(timeout=1)
    writer.close()


def _handle_signals() -> Event:
    ended = Event()
    first: list[float] = []

    def on_signal() -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            ended.set()
        elif now - first[0] > SAME_SIGNAL:
            log.warning("second signal: exiting at once")
            logging.shutdown()
            # Child processes notice through their control socket.
            signals.die_of(signal.SIGTERM)

    for number in signals.ENDING:
        gevent.signal_handler(number, on_signal)
    return ended


def _farewell(parts: Services) -> str:
    agent = "stopping the agent, then " if parts.supervisor.status().pid is not None else ""
    streams = len(parts.hub)
    opened = f"{streams} open stream{'' if streams == 1 else 's'}"
    return f"shutting down: {agent}closing {opened}. Signal again to exit at once"


def _greet(parts: Services, url: str) -> None:
    mode, why = choose_mode(parts.settings)
    key = ""
    if OPERATE not in parts.authenticator.open_scopes:
        key = ' -H "X-API-Key: KEY"\n              KEY: one of STREAM_OPERATOR_KEYS, or a token with the operate scope'
    calls = parts.settings.demo
    if calls:
        following = (
            f"  Next        open the console: {calls} simulated call{'' if calls == 1 else 's'} at a time\n"
        )
    elif parts.agent_lacks:
        following = ""
    else:
        following = f"  Next        curl -X POST {url}/api/agent/start{key}\n"
    _show(
        f"\n  Live page   {url}/\n"
        f"  Console     {url}/console/\n"
        f"{following}"
        f"  Agent       {parts.agent_lacks or f'will run in {mode} mode: {why}'}\n"
        f"  Keys        {_keys_needed(parts)}\n"
    )


def _show(text: str) -> None:
    """Print; a terminal, pipe or disk that takes nothing any more is no reason to end the server."""
    try:
        print(text, flush=True)
    except OSError as error:
        log.warning("standard output cannot be written: %s", error.strerror)
        # What is still in its buffer would fail again when the process ends, and change the exit code.
        with open(os.devnull, "wb") as nowhere, suppress(OSError):  # noqa: PTH123 - no path
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _keys_needed(parts: Services) -> str:
    names = {
        PUBLISH: ("publishing", "STREAM_PUBLISH_KEYS"),
        SUBSCRIBE: ("reading", "STREAM_SUBSCRIBE_KEYS"),
        OPERATE: ("operating", "STREAM_OPERATOR_KEYS"),
    }
    free = [name for scope, name in names.items() if scope in parts.authenticator.open_scopes]
    if not free:
        return "required for publishing, reading and operating"
    where = "from any machine" if parts.settings.allow_open else "on this machine"
    if len(free) == len(names):
        return f"not required {where}: none is set"
    unset = not_set([setting for _, setting in free])
    return f"not required for {listing([doing for doing, _ in free])} {where}: {unset}"


def _fail(program: str, message: str) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return 2


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Stream a LiveKit voice agent's conversations to web pages, terminals and back ends.",
        epilog=_settings_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host", type=_host, help="address to listen on (STREAM_HOST; default 127.0.0.1 and ::1)"
    )
    parser.add_argument(
        "--port",
        type=_count(0, 65535, "a port"),
        help="port to listen on, 0 for any free port (STREAM_PORT; default 5000)",
    )
    parser.add_argument(
        "--demo",
        type=_count(1, MOST_DEMO_CALLS, "a number of calls"),
        metavar="N",
        help="show N simulated calls, with a history in memory, a temporary archive and no webhooks",
    )
    parser.add_argument(
        "--workers",
        type=_count(1, MOST, "a number of processes"),
        default=1,
        metavar="N",
        help=f"number of processes that share the port, 1 to {MOST}; more than one needs STREAM_HISTORY=redis://...",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _count(low: int, high: int, expected: str) -> Callable[[str], int]:
    read = values.integer(low, high)

    def convert(text: str) -> int:
        try:
            return int(read(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: expected {expected}, {low} to {high}") from error

    return convert


def _host(text: str) -> str:
    try:
        return values.host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: expected {BY_NAME['STREAM_HOST'].expects}") from error


def _settings_text() -> str:
    defaults: Any = Settings()
    lines = ["Settings, read from the environment, then .env.local, then .env (first match wins):", ""]
    for setting in TABLE:
        default = values.written(getattr(defaults, setting.field))
        shown = f" (default {default})" if default not in ("", "off") else ""
        lines += _wrapped(f"{setting.name}{shown}", f"{setting.meaning} Expects {setting.expects}.")
    for name, meaning in AGENT_TABLE.items():
        lines += _wrapped(name, meaning)
    return "\n".join(lines)


def _wrapped(name: str, text: str) -> list[str]:
    return [f"  {name}", *textwrap.wrap(text, 100, initial_indent="      ", subsequent_indent="      ")]
