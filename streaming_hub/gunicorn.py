"""The hub under gunicorn: `gunicorn -w 1 -k streaming_hub.gunicorn.Worker 'streaming_hub.web:create_app()'`.

One worker, unless the history is in Redis: then each worker is a node.
"""

from __future__ import annotations

from gevent import monkey

# gunicorn imports this before the application; later, modules would keep the blocking originals. It does so in its
# master, which waits for signals: with gevent's signals and fork there it would never hear that a worker has ended.
monkey.patch_all(signal=False, os=False)

import os
import sys
from typing import TYPE_CHECKING, Any

import gevent
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIHandler, PyWSGIServer

from streaming_hub import logs
from streaming_hub.access.exposure import refuse_open_off_loopback
from streaming_hub.errors import SettingsError
from streaming_hub.history import shared
from streaming_hub.server.bounds import BoundedMixin
from streaming_hub.server.environ import WRITER_KEY
from streaming_hub.server.handover import HandoverMixin
from streaming_hub.server.listening import LOOPBACK, listen
from streaming_hub.server.server import Server
from streaming_hub.server.serving import begin, url_of
from streaming_hub.settings import load
from streaming_hub.web.current import services_of

if TYPE_CHECKING:
    from streaming_hub.services import Services


class GunicornHandler(HandoverMixin, BoundedMixin, PyWSGIHandler):
    """gunicorn's handler with the handover and the limits."""


class Worker(GeventPyWSGIWorker):
    """gunicorn's gevent worker, with the hub's writer."""

    wsgi_handler = GunicornHandler

    def init_process(self) -> None:
        """Refuse what one process cannot serve."""
        if self.cfg.workers > 1 and not shared(load().history):
            self.log.error(
                "%d workers: events would reach only the clients of one of them. Use -w 1, or a Redis server "
                "(STREAM_HISTORY=redis://...).",
                self.cfg.workers,
            )
            sys.exit(Arbiter.APP_LOAD_ERROR)
        if self.cfg.workers > 1 and os.environ.get("STREAM_NODE"):
            # No two nodes may have one name.
            os.environ["STREAM_NODE"] += f"-{os.getpid()}"
        super().init_process()

    def run(self) -> None:
        """Serve, with streams handed to the writer."""
        parts = services_of(self.wsgi)
        logs.configure(parts.settings.log_format)
        for doubt in parts.settings.doubts:
            self.log.warning("%s", doubt)
        # A Unix socket's address is a path, which no other machine reaches.
        reachable = [sock for sock in self.sockets if isinstance(sock.getsockname(), tuple)]
        try:
            for sock in reachable:
                refuse_open_off_loopback(parts.settings, sock.getsockname()[0])
        except SettingsError as error:
            self.log.error("%s", error)  # noqa: TRY400 - the sentence says it all
            parts.stop()
            sys.exit(Arbiter.APP_LOAD_ERROR)
        self._draining = False
        if self.cfg.workers > 1:
            # This worker's own address, which no other answers: for its metrics and its agent.
            own = listen(LOOPBACK[0], 0)
            self._writer = begin(parts, url_of(own))
            self.log.info("node %s, metrics at %s/metrics", parts.node, parts.url)
            Server(own, self.wsgi, self._writer).start()
        else:
            self._writer = begin(parts, url_of(reachable[0]) if reachable else None)
        self.server_class = self._make_server
        super().run()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Drain before gunicorn closes the listening socket: the agent still has to post its last words."""
        # Ctrl-C reaches the worker twice: from the terminal and, as SIGQUIT, from the master.
        if not self._draining:
            self._draining = True
            gevent.spawn(self._drain, services_of(self.wsgi), sig, frame)

    handle_quit = handle_exit

    def _drain(self, parts: Services, sig: int, frame: Any) -> None:
        parts.stop(self._writer.drain)
        super().handle_exit(sig, frame)

    def _make_server(self, *arguments: Any, environ: dict[str, Any], **options: Any) -> PyWSGIServer:
        return PyWSGIServer(*arguments, environ={**environ, WRITER_KEY: self._writer}, **options)
