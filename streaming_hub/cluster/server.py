"""Connections to a Redis or Valkey server, checked when they are made, and the wording of their failures.

redis-py's `Connection` connects: TLS, password, database. Commands and answers are encoded by hiredis, straight from
and to the socket: a node reads every event in a call of its own, and redis-py's layers cost as much as reading it does.
Its client and pools are not used because they retry, reconnect and wait by their own rules. Here a call is answered
within `ANSWER_SECONDS` or fails. While the server is away only the history's follower tries to reach it; everything
else fails at once. Sockets are plain, so gevent's monkey-patching makes every wait cooperative. A connection belongs to
the thread that made it: under gevent nothing here may run in its threadpool.

Importing this without redis-py raises SettingsError.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec
from gevent import monkey

from streaming_hub.cluster.address import Address
from streaming_hub.cluster.clock import HubClock
from streaming_hub.errors import SettingsError, StorageError, Unavailable

try:
    import hiredis
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import InvalidResponse, NoScriptError, ResponseError
    from redis.retry import Retry
except ImportError as missing:
    raise SettingsError(
        "STREAM_HISTORY names a Redis server, which needs the extra `redis`: `uv sync --extra redis`, or install "
        "livekit-streaming-hub[redis]."
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ANSWER_SECONDS: Final = 3.0
"""How long an answer may take before the server counts as away."""
CONNECT_SECONDS: Final = 1.5
OLDEST_VERSION: Final = (7, 0)
MOST_CALLS: Final = 64
"""Maximum number of concurrent calls of a node; each has a connection."""
RETRY_AFTER: Final = 2
_CHECKED_PARTS: Final = ("server", "memory", "replication", "cluster")
"""Sections of INFO that have what `_checked` looks at."""
_REFUSING: Final = ("NOREPLICAS", "MISCONF", "MASTERDOWN", "BUSY")
"""Error codes of a server that is up but cannot write now."""


READ_BYTES: Final = 16_384
_NOT_ALL: Final = object()
"""What the reader returns for an answer that has not arrived in full."""

_poll, _POLLIN = monkey.get_original("select", ["poll", "POLLIN"])


class Away(Exception):
    """The server does not answer, or cannot do this now. The message says why."""


class Refusing(Away):
    """The server is up but refuses to write for now.

    It is out of memory, its disk fails, replicas are missing, or one of its keys has another type.
    """


class Identity(msgspec.Struct, frozen=True):
    """Identifies a server's memory; changes with a restart and with a promotion.

    Attributes:
        run: the run id and the replication id.
        wait_aof: whether the server has `WAITAOF` (7.2).
        replicas: how many replicas are connected.
    """

    run: str
    wait_aof: bool
    replicas: int


class Line:
    """A checked connection.

    Args:
        connection: redis-py's, connected; every answer was read.
        identity: the server's.

    Attributes:
        identity: the server's, when it was last checked.
        open: whether it has not been closed from here.
    """

    def __init__(self, connection: Any, identity: Identity) -> None:
        self._connection = connection
        self._socket = connection._sock
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=_error, notEnoughData=_NOT_ALL
        )
        self.identity = identity
        self.open = True

    def call(self, *command: Any) -> Any:
        """Send a command and return its answer.

        Raises:
            Away: see there.
        """
        return self.calls((command,))[0]

    def calls(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send several commands at once and return their answers.

        Raises:
            Away: one of them was not answered or was refused for now; the others may have been executed.
        """
        try:
            self._send(b"".join([hiredis.pack_command(command) for command in commands]))
            answers = [self._answer() for _ in commands]
        except (redis.ConnectionError, redis.TimeoutError, InvalidResponse, OSError) as error:
            self.close()
            raise Away(_why(error)) from error
        except BaseException:
            # Unread answers must not be taken for those of the next command.
            self.close()
            raise
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise _refused(answer)
        return answers

    def _send(self, data: bytes) -> None:
        # Not `sendall` for what fits at once: under gevent that asks for the socket's options first.
        sent = self._socket.send(data)
        if sent < len(data):
            self._socket.sendall(memoryview(data)[sent:])

    def _answer(self) -> Any:
        while (answer := self._reader.gets()) is _NOT_ALL:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise redis.ConnectionError("Connection closed by server.")
            self._reader.feed(data)
        return answer

    def good(self) -> bool:
        """Return whether it can be used again: nothing unread, and not closed by the other side."""
        # Every answer was read: what can be read now is the end, or something that nothing asked for. Not by redis-py's
        # `can_read`, which under gevent waits for a turn of the loop, twice per call.
        if not self.open:
            return False
        poll = _poll()
        poll.register(self._socket.fileno(), _POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self.open = False
        self._connection.disconnect()


def _error(text: str) -> ResponseError:
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)


class Server:
    """A Redis server.

    Args:
        url: see `address.EXPECTED`.
        prefix: of all keys.

    Attributes:
        shown: the URL without password.
        away: why the server counts as away, or None. Set by its follower (`note_away`, `note_back`).
        clock: the server's.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(self, url: str, prefix: str) -> None:
        address = Address(url)
        self.shown = address.shown
        self.away: str | None = None
        self.clock = HubClock()
        self._tag = f"{{{prefix}}}:"
        self._class = {
            "redis": redis.Connection,
            "rediss": redis.SSLConnection,
            "unix": redis.UnixDomainSocketConnection,
        }[address.scheme]
        self._options = address.options | {
            "socket_timeout": ANSWER_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if address.scheme != "unix":
            self._options |= {"socket_connect_timeout": CONNECT_SECONDS, "socket_keepalive": True}
        self._idle: list[Line] = []
        self._slots = threading.BoundedSemaphore(MOST_CALLS)

    def key(self, name: str) -> str:
        """Return the full name of one of the hub's keys; all of them share a hash tag."""
        return self._tag + name

    def connect(self) -> Line:
        """Connect, and check the server.

        Raises:
            Away: it cannot be reached, or is still loading its data.
            StorageError: it is unsuitable; says why.
        """
        connection = self._class(**self._options)
        try:
            connection.connect()
            connection.send_command("INFO")
            line = Line(connection, self._checked(_fields(connection.read_response())))
            self._measure(line)
        except redis.AuthenticationError as error:
            raise StorageError(f"{self.shown}: the server rejects the user or password: {error}.") from error
        except redis.BusyLoadingError as error:
            connection.disconnect()
            raise Away("it is loading its data") from error
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            connection.disconnect()
            if untrusted := _untrusted(error):
                raise StorageError(
                    f"{self.shown}: its certificate is not trusted: {untrusted}. Name your own CA in "
                    "SSL_CERT_FILE; the certificate must contain the host's name."
                ) from error
            raise Away(_why(error)) from error
        except ResponseError as error:
            connection.disconnect()
            raise self._unusable(error) from error
        except (StorageError, Away):
            connection.disconnect()
            raise
        return line

    def look_again(self, line: Line) -> bool:
        """Check the server once more, over a connection that has been open for a while; measure its clock.

        A server gets another replication id when its first replica is connected, or an hour after the last one was.

        Returns:
            Whether its identity is another one; idle connections that know the old one are closed then.

        Raises:
            Away, StorageError: as for `connect`.
        """
        (info,) = self._measure(line, ("INFO", *_CHECKED_PARTS))
        before, line.identity = line.identity, self._checked(_fields(info))
        changed = before.run != line.identity.run
        if changed:
            self._hang_up()
        return changed

    def _measure(self, line: Line, *commands: tuple[Any, ...]) -> list[Any]:
        asked = time.monotonic()
        *answers, (seconds, micros) = line.calls([*commands, ("TIME",)])
        self.clock.measured(int(seconds) + int(micros) / 1e6, asked, time.monotonic())
        return answers

    @contextmanager
    def line(self) -> Iterator[Line]:
        """Provide a connection for one exchange.

        Raises:
            Unavailable: the server is away, or becomes so; says why.
        """
        if self.away is not None:
            raise unavailable(self.away)
        if not self._slots.acquire(timeout=ANSWER_SECONDS):
            raise unavailable("too many requests are waiting for it")
        try:
            line = self._borrowed()
            try:
                yield line
            except Away as error:
                raise unavailable(str(error)) from error
            finally:
                self._give_back(line)
        finally:
            self._slots.release()

    def call(self, *command: Any) -> Any:
        """Send a command on a connection of the pool and return its answer.

        Raises:
            Unavailable: the server is away, or becomes so; says why.
        """
        with self.line() as line:
            return line.call(*command)

    def note_away(self, why: str) -> None:
        """Make every call fail at once until `note_back`."""
        self.away = why
        self._hang_up()

    def note_back(self) -> None:
        """Allow calls again."""
        self.away = None

    def close(self) -> None:
        """Close the idle connections, and refuse further calls."""
        self.note_away("the hub is stopping")

    def _hang_up(self) -> None:
        idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _borrowed(self) -> Line:
        while self._idle:
            line = self._idle.pop()
            if line.good():
                return line
            line.close()
        try:
            return self.connect()
        except Away as error:
            raise unavailable(str(error)) from error
        except StorageError as error:
            raise unavailable(str(error)) from error

    def _give_back(self, line: Line) -> None:
        # What arrives unasked while it is idle is noticed before it is used again.
        if self.away is None and line.open:
            self._idle.append(line)
        else:
            line.close()

    def _checked(self, info: dict[str, str]) -> Identity:
        version = _version(info.get("redis_version", ""))
        if version < OLDEST_VERSION:
            found = info.get("redis_version", "an unknown version")
            raise StorageError(
                f"{self.shown} runs Redis {found}: version 7.0 or later, or Valkey, is required."
            )
        if info.get("cluster_enabled") == "1" or info.get("redis_mode") == "cluster":
            raise StorageError(
                f"{self.shown} is a node of a Redis Cluster, which is not supported: use a single server or one with "
                "replicas."
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise StorageError(
                f"{self.shown} has maxmemory-policy {policy}: it would drop stored events silently. "
                "Set it to noeviction."
            )
        if info.get("role") not in ("master", "primary"):
            raise StorageError(f"{self.shown} is a replica, which accepts no writes: use its primary.")
        run = f"{info.get('run_id')}:{info.get('master_replid')}"
        return Identity(run, version >= (7, 2), int(info.get("connected_slaves", "0")))

    def _unusable(self, error: Exception) -> StorageError:
        text = str(error)
        if "DB index" in text or "invalid DB" in text:
            return StorageError(f"{self.shown}: the server has no such database: {text}.")
        return StorageError(f"{self.shown}: the server refuses the connection: {text}.")


class Script:
    """A Lua script beside this package's modules; run by its hash, and sent in full if the server lacks it."""

    def __init__(self, package: str, name: str) -> None:
        self._text = resources.files(package).joinpath(name).read_bytes()
        self._hash: bytes | None = None

    def run(self, line: Line, keys: list[str], arguments: list[Any]) -> Any:
        """Run it on a connection.

        Raises:
            Away: see there.
        """
        if self._hash is None:
            self._hash = line.call("SCRIPT", "LOAD", self._text)
        try:
            return line.call("EVALSHA", self._hash, len(keys), *keys, *arguments)
        except NoScriptError:
            # The server was restarted, or a replica was promoted.
            return line.call("EVAL", self._text, len(keys), *keys, *arguments)


def unavailable(why: str) -> Unavailable:
    """Return the error for the client of a request."""
    return Unavailable(
        f"Redis is away: {why}. Retry later; an event_id makes that safe.",
        retry_after=RETRY_AFTER,
    )


def _refused(error: ResponseError) -> Exception:
    if isinstance(error, NoScriptError):
        return error
    text = str(error)
    if "OOM" in text:
        return Refusing("it is out of memory")
    if "READONLY" in text:
        return Away("it is read-only")
    if text.startswith("WRONGTYPE"):
        return Refusing(
            "a key with the hub's prefix has another type: remove it, or choose another STREAM_REDIS_PREFIX"
        )
    if any(name in text for name in _REFUSING):
        return Refusing(text.rstrip("."))
    return error


def _untrusted(error: BaseException | None) -> str | None:
    """Return what is wrong with the server's certificate, where that is the reason."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def _why(error: BaseException) -> str:
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return f"it did not answer within {ANSWER_SECONDS:g} s"
    return str(error).rstrip(".") or type(error).__name__


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
