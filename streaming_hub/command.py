"""The command `flask_server.py`: its options, its start, the signals that end it. Serves with gevent."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event

from streaming_hub import __version__, logs, signals
from streaming_hub.access import OPERATE, PUBLISH, SUBSCRIBE
from streaming_hub.access.exposure import refuse_open_off_loopback
from streaming_hub.agents.mode import choose_mode
from streaming_hub.errors import SettingsError, StorageError
from streaming_hub.server.listening import LOOPBACK, listen_at, why_not
from streaming_hub.server.server import Server
from streaming_hub.server.serving import begin, url_of
from streaming_hub.settings import (
    AGENT_TABLE,
    TABLE,
    Settings,
    load,
)
from streaming_hub.web.current import services_of
from streaming_hub.wording import listing, not_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask

    from streaming_hub.services import Services

log = logging.getLogger("hub")

SAME_SIGNAL: Final = 1.0
"""Seconds within which a repeated signal is the same one: `uv run` and the terminal both send it."""


def run(create_app: Callable[[Settings], Flask], arguments: Sequence[str] | None) -> int:
    """Start the server and serve until a signal ends it.

    Args:
        create_app: builds the application from settings.
        arguments: the command line; `sys.argv` by default.

    Returns:
        0, or 2 when the server cannot start.
    """
    options = _parser().parse_args(arguments)
    given = {name: value for name in ("host", "port") if (value := getattr(options, name)) is not None}
    try:
        settings = load(**given)
        logs.configure(settings.log_format)
        for doubt in settings.doubts:
            log.warning("%s", doubt)
        refuse_open_off_loopback(settings, settings.host or LOOPBACK[0])
        app = create_app(settings)
        serve(app, settings)
    except SettingsError as error:
        return _complain(str(error))
    except StorageError as error:
        # A second server on the same folder meets both: each is worth knowing before the next try.
        return _complain(" ".join(filter(None, (str(error), why_not(settings.host, settings.port)))))
    return 0


def serve(app: Flask, settings: Settings) -> None:
    """Serve an application until SIGTERM or SIGINT, then drain.

    Raises:
        SettingsError: the address cannot be used.
    """
    parts = services_of(app)
    try:
        listeners = listen_at(settings.host, settings.port)
    except SettingsError:
        parts.stop()
        raise
    ended = _watch_signals()
    if os.getpid() == 1:
        # Orphans of the agent become process 1's children: libev then waits for all that end.
        gevent.get_hub().loop.install_sigchld()
    writer = begin(parts, url_of(listeners[0]))
    servers = [Server(listener, app, writer) for listener in listeners]
    for server in servers:
        server.start()
    if parts.archive is not None:
        log.info("%s", parts.archive.description)
    _greet(parts)
    ended.wait()
    log.info("%s", _farewell(parts))
    parts.stop(writer.drain)
    for server in servers:
        server.stop(timeout=1)
    writer.close()


def _watch_signals() -> Event:
    ended = Event()
    first: list[float] = []

    def on_signal() -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            ended.set()
        elif now - first[0] > SAME_SIGNAL:
            log.warning("a second signal: ending at once")
            logging.shutdown()
            # Children notice by their control socket.
            signals.die_of(signal.SIGTERM)

    for number in signals.ENDING:
        gevent.signal_handler(number, on_signal)
    return ended


def _farewell(parts: Services) -> str:
    agent = "the agent, then " if parts.supervisor.status().pid is not None else ""
    streams = len(parts.hub)
    return f"stopping: ending {agent}{streams} open stream{'' if streams == 1 else 's'}. Again to end at once"


def _greet(parts: Services) -> None:
    mode, why = choose_mode(parts.settings)
    key = ""
    if OPERATE not in parts.authenticator.open_scopes:
        key = ' -H "X-API-Key: KEY"\n              with one of STREAM_OPERATOR_KEYS, or a token of the scope operate'
    print(
        f"\n  Live page   {parts.url}/\n"
        f"  Next        curl -X POST {parts.url}/api/agent/start{key}\n"
        f"  The agent   will run in {mode} mode: {why}\n"
        f"  Keys        {_keys_needed(parts)}\n",
        flush=True,
    )


def _keys_needed(parts: Services) -> str:
    names = {
        PUBLISH: ("publishing", "STREAM_PUBLISH_KEYS"),
        SUBSCRIBE: ("reading", "STREAM_SUBSCRIBE_KEYS"),
        OPERATE: ("operating", "STREAM_OPERATOR_KEYS"),
    }
    free = [name for scope, name in names.items() if scope in parts.authenticator.open_scopes]
    if not free:
        return "are needed for publishing, reading and operating"
    whom = "by whoever reaches the server" if parts.settings.allow_open else "on this machine"
    if len(free) == len(names):
        return f"are not needed {whom}: none is set"
    unset = not_set([setting for _, setting in free])
    return f"are not needed for {listing([doing for doing, _ in free])} {whom}: {unset}"


def _complain(sentence: str) -> int:
    print(f"flask_server.py: {sentence}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flask_server.py",
        description="Streams what happens in a LiveKit voice agent's conversation to pages, terminals and back ends.",
        epilog=_settings_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="where to listen (STREAM_HOST; 127.0.0.1 and ::1)")
    parser.add_argument("--port", type=_port, help="its port, 0 for a free one (STREAM_PORT, 5000)")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: expected a port, 0 to 65535")
    return port


def _settings_text() -> str:
    defaults: Any = Settings()
    lines = ["Settings come from the environment, .env.local and .env, in that order:", ""]
    for setting in TABLE:
        default = getattr(defaults, setting.field)
        shown = "" if default in (None, (), False) else f" ({default})"
        lines += _wrapped(f"{setting.name}{shown}", f"{setting.meaning} Expects {setting.expects}.")
    for name, meaning in AGENT_TABLE.items():
        lines += _wrapped(name, meaning)
    return "\n".join(lines)


def _wrapped(name: str, text: str) -> list[str]:
    return [f"  {name}", *textwrap.wrap(text, 100, initial_indent="      ", subsequent_indent="      ")]
