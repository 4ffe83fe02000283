"""What a Redis server must be, checked when a connection is made; and the wording of its failures. Real servers."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from streaming_hub.cluster.server import Away, Server
from streaming_hub.errors import StorageError, Unavailable
from tests.kit.process import free_port
from tests.kit.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    made: list[RedisServer] = []

    def build(**options: str) -> RedisServer:
        made.append(RedisServer(tmp_path / str(len(made)), tcp=True, **options))
        return made[-1]

    yield build
    for server in made:
        server.stop()


def test_a_good_one_answers_by_every_kind_of_url(redis: Callable[..., RedisServer]) -> None:
    server = redis()
    for url in (f"redis://127.0.0.1:{server.port}/3", f"unix://{server.path}?db=3"):
        line = Server(url, "p").connect()
        assert line.call("PING") == b"PONG"
        assert b"db=3" in line.call("CLIENT", "INFO")
        assert line.good()
        line.close()
        assert not line.good()


def test_a_wrong_password_or_user_or_database(redis: Callable[..., RedisServer]) -> None:
    server = redis(databases="4")
    server.call("CONFIG", "SET", "requirepass", "right")
    for url, says in (
        (f"redis://:wrong-one@127.0.0.1:{server.port}", "password"),
        (f"redis://nobody:right@127.0.0.1:{server.port}", "password"),
        (f"redis://127.0.0.1:{server.port}", "rejects"),
        (f"redis://:right@127.0.0.1:{server.port}/9", "no such database"),
    ):
        with pytest.raises(StorageError, match=says) as caught:
            Server(url, "p").connect()
        assert "right" not in str(caught.value).replace("127", "")
        assert "wrong-one" not in str(caught.value)
    Server(f"redis://:right@127.0.0.1:{server.port}/3", "p").connect().close()


def test_what_would_drop_events_silently_is_refused(redis: Callable[..., RedisServer]) -> None:
    server = redis(maxmemory_policy="allkeys-lru")
    with pytest.raises(StorageError, match="noeviction"):
        Server(server.url, "p").connect()


def test_a_cluster_and_a_replica_are_refused(redis: Callable[..., RedisServer]) -> None:
    with pytest.raises(StorageError, match="Cluster"):
        # Without a port of its own the cluster's bus takes one that outgoing connections use.
        Server(redis(cluster_enabled="yes", cluster_port=str(free_port())).url, "p").connect()
    replica = redis()
    replica.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StorageError, match="replica"):
        Server(replica.url, "p").connect()


def test_an_old_version_is_refused() -> None:
    info = b"# Server\r\nredis_version:6.2.14\r\nrole:master\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock, sock.makefile("rb") as reader:
                while line := reader.readline():
                    if line.strip().upper() == b"SETINFO":
                        sock.sendall(b"-ERR unknown\r\n")
                    if line.strip().upper() == b"INFO":
                        sock.sendall(b"$%d\r\n%b\r\n" % (len(info), info))

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(StorageError, match=r"6\.2\.14: version 7\.0 or later"):
            Server(f"redis://127.0.0.1:{listener.getsockname()[1]}", "p").connect()


def test_no_server_listens(tmp_path: Path) -> None:
    with pytest.raises(Away):
        Server(f"unix://{tmp_path}/none", "p").connect()


def test_a_restart_is_not_noticed_by_the_next_call(redis: Callable[..., RedisServer]) -> None:
    server = redis()
    client = Server(server.url, "p")
    assert client.call("PING") == b"PONG"
    server.kill()
    with pytest.raises(Unavailable, match="Redis is away"):
        client.call("PING")
    server.start()
    assert client.call("PING") == b"PONG"


def test_while_it_counts_as_away_nothing_is_asked(redis: Callable[..., RedisServer]) -> None:
    client = Server(redis().url, "p")
    client.note_away("it hangs")
    with pytest.raises(Unavailable, match="it hangs") as caught:
        client.call("PING")
    assert "Retry-After" in caught.value.headers()
    client.note_back()
    assert client.call("PING") == b"PONG"


def test_keys_share_a_hash_tag() -> None:
    assert Server("redis://h", "hub").key("log") == "{hub}:log"
