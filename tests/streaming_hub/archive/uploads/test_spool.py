"""Uploads on disk: whole or not at all, in order, within bounds, found again after a kill."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

import pytest

from streaming_hub.archive.uploads import spool as spools
from streaming_hub.archive.uploads.spool import Full, Head, Spool

if TYPE_CHECKING:
    from pathlib import Path

HEAD = Head("traces", "application/x-protobuf", "gzip")


def keep(spool: Spool, body: bytes) -> None:
    with spool.begin(HEAD) as part:
        part.write(body)
        part.keep()


def bodies(spool: Spool) -> list[bytes]:
    return [spools.read(path)[1] for path in spool.waiting()]


def test_what_was_kept_comes_back_in_order_also_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "uploads")
    assert spool.waiting() == []
    written = [b"first", b"line\nbreaks\n\n", b""]
    for body in written:
        keep(spool, body)
    assert bodies(spool) == bodies(Spool(tmp_path / "uploads")) == written
    assert spools.read(spool.waiting()[0])[0] == HEAD
    spool.done(spool.waiting()[0])
    assert bodies(spool) == bodies(Spool(tmp_path / "uploads")) == written[1:]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "uploads")
    keep(spool, b"x")
    assert stat.S_IMODE((tmp_path / "uploads").stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.waiting()[0].stat().st_mode) == 0o600


def test_what_was_not_kept_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.begin(HEAD) as part:
        part.write(b"half")
    assert list(tmp_path.iterdir()) == []


def test_the_half_of_a_killed_hub_is_removed(tmp_path: Path) -> None:
    killed = Spool(tmp_path).begin(HEAD)
    killed.write(b"half")
    assert Spool(tmp_path).waiting() == []
    # Another node may write it at this moment.
    assert len(list(tmp_path.iterdir())) == 1
    later = time.time_ns() + int((spools.LEFT_SECONDS + 1) * 1e9)
    assert Spool(tmp_path, clock=lambda: later).waiting() == []
    assert list(tmp_path.iterdir()) == []
    killed.__exit__()


def test_what_another_node_took_is_seen(tmp_path: Path) -> None:
    one, other = Spool(tmp_path), Spool(tmp_path)
    keep(one, b"first")
    assert bodies(other) == [b"first"]


def test_a_full_spool_refuses_what_comes_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=200)
    keep(spool, bytes(80))
    with pytest.raises(Full, match=rf"{tmp_path} is full: 1 uploads .* another 150 would exceed 200"):
        keep(spool, bytes(150))
    keep(spool, b"12")
    assert [len(body) for body in bodies(spool)] == [80, 2]
    spool.done(spool.waiting()[0])
    keep(spool, bytes(60))
    with pytest.raises(Full):
        keep(Spool(tmp_path, max_bytes=10), b"1")


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    for name in ("film.part", "cat.upload", "1.part"):
        (tmp_path / name).write_text("mine")
    later = time.time_ns() + int((spools.LEFT_SECONDS + 1) * 1e9)
    assert Spool(tmp_path, clock=lambda: later).waiting() == []
    assert len(list(tmp_path.iterdir())) == 3
