"""The spool file: order, bounds, locks, damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import streaming_hub_client.file_lock
import streaming_hub_client.spool
from streaming_hub_client.spool import (
    HEADER_BYTES,
    SUFFIX,
    Header,
    Spool,
    batch_of,
    left_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOM_ENOUGH = 1 << 30


def lines(*numbers: int) -> list[bytes]:
    return [json.dumps({"n": number}).encode() for number in numbers]


def lost_record(count: int, event_id: str) -> bytes:
    return json.dumps({"lost": count, "event_id": event_id}).encode()


def adopt(path: Path) -> Spool:
    spool = Spool.adopt(path, lost_record)
    assert spool is not None
    return spool


@pytest.fixture(params=["flock", "database"])
def spool(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """A spool with either kind of lock."""
    if request.param == "database":
        monkeypatch.setattr(streaming_hub_client.file_lock, "fcntl", None)
    return Spool.create(tmp_path / "spool", started=1)


@pytest.fixture
def small_disk() -> Iterator[int]:
    """A limit of this process: no file may grow beyond this many bytes, the kernel answers EFBIG in mid-write."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    limit = 4096
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "header", [Header(), Header(12_345, 67), Header(10**12, 10**9), Header(64, 1, 10**11)]
)
def test_header_has_a_fixed_width_and_reads_back(header: Header) -> None:
    assert len(header.encode()) == HEADER_BYTES
    assert Header.decode(header.encode()) == header


@pytest.mark.parametrize("damaged", [b"", b"\0" * 64, b"[]", b'{"done":"x"}', b"\xff\xfe", b'{"\xff":1}'])
def test_a_damaged_header_means_from_the_start(damaged: bytes) -> None:
    assert Header.decode(damaged) == Header(HEADER_BYTES, 0)


def test_lines_come_back_in_order_and_leave_when_dropped(spool: Spool) -> None:
    assert spool.append(lines(1, 2, 3), ROOM_ENOUGH) == 3
    assert spool.append(lines(4), ROOM_ENOUGH) == 1

    assert spool.peek(10, 1000) == lines(1, 2, 3, 4)
    assert spool.drop(lines(1, 2)) == 2
    assert spool.peek(10, 1000) == lines(3, 4)
    assert spool.drop(lines(3, 4, 5)) == 2
    assert spool.empty


def test_a_drained_file_shrinks(spool: Spool) -> None:
    spool.append(lines(*range(100)), ROOM_ENOUGH)
    spool.drop(lines(*range(100)))

    assert spool.size == spool.path.stat().st_size == HEADER_BYTES


def test_only_whole_lines_within_the_bound_are_taken(spool: Spool) -> None:
    size = len(lines(1)[0]) + 1

    assert spool.append(lines(1, 2, 3, 4), HEADER_BYTES + 2 * size + size // 2) == 2
    assert spool.peek(10, 1000) == lines(1, 2)
    assert spool.append(lines(3), HEADER_BYTES + 2 * size) == 0


def test_a_line_longer_than_a_batch_is_still_sent(spool: Spool) -> None:
    long = b'"' + b"x" * 5000 + b'"'
    spool.append([long, *lines(1)], ROOM_ENOUGH)

    assert spool.peek(10, 100) == [long]


def test_a_batch_counts_events_and_the_bytes_of_the_whole_array() -> None:
    batch = [b"12345", b"12345", b"12345"]

    assert len(batch_of(batch, 2, 1000)) == 2
    assert len(batch_of(batch, 9, len(b"[12345,12345]"))) == 2
    assert len(batch_of(batch, 9, len(b"[12345,12345]") - 1)) == 1


def test_a_long_drain_does_not_use_up_the_bound(spool: Spool) -> None:
    bound = 4096
    expected: list[int] = []
    for number in range(2000):
        assert spool.append(lines(number), bound) == 1
        expected.append(number)
        if len(expected) > 5:
            assert spool.drop(lines(expected.pop(0))) == 1

    assert spool.peek(100, 1000) == lines(*expected)
    assert spool.path.stat().st_size <= bound
    assert Spool.adopt(spool.path, lost_record) is None, "the lock went away while the file was copied"


def test_half_a_line_at_the_end_is_cut(spool: Spool) -> None:
    spool.append(lines(1, 2), ROOM_ENOUGH)
    spool.close()
    with spool.path.open("ab") as file:
        file.write(b'{"n": 3, "text": "and th')

    again = adopt(spool.path)
    assert again.peek(10, 1000) == lines(1, 2)
    again.append(lines(4), ROOM_ENOUGH)
    assert again.peek(10, 1000) == lines(1, 2, 4)


def test_half_a_header_is_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.write_bytes(b'{"done":')

    again = adopt(path)
    assert again.empty
    again.append(lines(1), ROOM_ENOUGH)
    assert again.peek(10, 1000) == lines(1)


def test_what_was_delivered_is_not_sent_by_the_next_owner(spool: Spool) -> None:
    spool.append(lines(1, 2, 3), ROOM_ENOUGH)
    spool.drop(lines(1, 2))
    spool.close()

    assert adopt(spool.path).peek(10, 1000) == lines(3)


def test_a_living_owner_keeps_its_file(spool: Spool) -> None:
    spool.append(lines(1), ROOM_ENOUGH)

    assert Spool.adopt(spool.path, lost_record) is None
    spool.close()
    assert adopt(spool.path).peek(10, 1000) == lines(1)


def test_a_file_that_was_replaced_while_it_was_taken_over_is_left_alone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner drained and removed it between our opening and our locking it."""
    spool.append(lines(1), ROOM_ENOUGH)
    spool.close()
    lock = streaming_hub_client.spool.lock

    def replace_and_lock(file: Any, path: Path) -> Any:
        path.with_suffix(".other").write_bytes(b"")
        path.with_suffix(".other").rename(path)
        return lock(file, path)

    monkeypatch.setattr(streaming_hub_client.spool, "lock", replace_and_lock)
    assert Spool.adopt(spool.path, lost_record) is None


def test_a_file_taken_before_it_was_locked_is_created_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = streaming_hub_client.spool.lock
    taken: list[Path] = []

    def take_the_first(file: Any, path: Path) -> Any:
        if not taken:
            taken.append(path)
            path.unlink()
        return lock(file, path)

    monkeypatch.setattr(streaming_hub_client.spool, "lock", take_the_first)
    another = Spool.create(spool.path.parent, started=2)

    assert another.path.exists()
    assert [another.path] != taken


@pytest.mark.parametrize("waiting", [1, 200, 100_000], ids=lambda count: f"{count} lines")
def test_a_kill_in_the_middle_of_making_room_loses_and_repeats_nothing(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    delivered = 2 * waiting + 10
    spool.append(lines(*range(delivered + waiting)), ROOM_ENOUGH)
    spool.drop(lines(*range(delivered)))
    expected = lines(*range(delivered, delivered + waiting), 999_999)
    found: list[bytes] = []
    write = streaming_hub_client.spool._write_at

    def write_and_look(*arguments: Any) -> None:
        write(*arguments)
        found.append(spool.path.read_bytes())

    monkeypatch.setattr(streaming_hub_client.spool, "_write_at", write_and_look)
    assert spool.append(lines(999_999), spool.size) == 1
    monkeypatch.undo()
    assert len(found) >= 4, "a copy, the header before and after the cut, the new line"
    for number, state in enumerate(found):
        copy = tmp_path / f"{number}{SUFFIX}"
        copy.write_bytes(state)
        again = adopt(copy)
        assert again.peek(ROOM_ENOUGH, ROOM_ENOUGH) == expected[: waiting + (number == len(found) - 1)]
        again.append(lines(7), ROOM_ENOUGH)
        again.close()
        assert adopt(copy).peek(ROOM_ENOUGH, ROOM_ENOUGH)[-1] == lines(7)[0]


def test_where_no_open_file_can_be_removed_a_drained_one_goes_all_the_same(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    spool.append(lines(1), ROOM_ENOUGH)
    spool.drop(lines(1))
    unlink = Path.unlink

    def refuse_an_open_one(path: Path, *, missing_ok: bool = False) -> None:
        if path == spool.path and not spool._file.closed:
            raise PermissionError(13, "it is open in another process")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse_an_open_one)
    spool.close()

    assert list(spool.path.parent.iterdir()) == []


def test_where_an_open_file_stays_its_identity_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a network drive may answer with another identity each time."""
    monkeypatch.setattr(streaming_hub_client.file_lock, "fcntl", None)
    monkeypatch.setattr(streaming_hub_client.spool, "_STAYS", True)
    monkeypatch.setattr(os.path, "samestat", lambda _one, _other: False)
    spool = Spool.create(tmp_path, started=1)
    spool.append(lines(1), ROOM_ENOUGH)
    spool.close()

    assert adopt(spool.path).peek(10, 1000) == lines(1)


def test_a_vanished_file_is_not_adopted(tmp_path: Path) -> None:
    assert Spool.adopt(tmp_path / "gone.jsonl", lost_record) is None


def test_an_empty_file_is_removed_at_the_end(spool: Spool) -> None:
    spool.append(lines(1), ROOM_ENOUGH)
    spool.drop(lines(1))
    spool.close()

    assert list(spool.path.parent.iterdir()) == []


def test_events_without_room_are_reported_once_by_the_next_owner(spool: Spool) -> None:
    spool.append(lines(1), ROOM_ENOUGH)
    spool.note_unsaved(17)
    spool.close()

    first = adopt(spool.path)
    told = [json.loads(line) for line in first.peek(10, 1000)]
    assert told[0] == {"n": 1}
    assert told[1]["lost"] == 17
    first.close()
    second = adopt(spool.path)
    assert [json.loads(line) for line in second.peek(10, 1000)] == told


def test_the_count_of_lost_events_has_one_id_however_often_it_is_adopted(spool: Spool) -> None:
    spool.append(lines(1), ROOM_ENOUGH)
    spool.note_unsaved(17)
    spool.close()
    seen: list[str] = []

    def record(_: int, event_id: str) -> bytes:
        seen.append(event_id)
        return b"{}"

    for folder in ("first", "second"):
        copy = spool.path.parent / folder / spool.path.name
        copy.parent.mkdir()
        copy.write_bytes(spool.path.read_bytes())
        Spool.adopt(copy, record)

    assert seen[0] == seen[1]


def test_a_failed_write_leaves_whole_lines_only(spool: Spool, small_disk: int) -> None:
    spool.append(lines(1), ROOM_ENOUGH)

    with pytest.raises(OSError, match="File too large"):
        spool.append([b'"' + b"x" * small_disk + b'"'], ROOM_ENOUGH)

    assert spool.path.read_bytes().endswith(b'{"n": 1}\n')
    assert spool.append(lines(2), ROOM_ENOUGH) == 1
    assert spool.peek(10, 1000) == lines(1, 2)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_no_other_user_may_read_it(spool: Spool) -> None:
    assert spool.path.stat().st_mode & 0o077 == 0
    assert spool.path.parent.stat().st_mode & 0o077 == 0


def test_files_are_named_in_the_order_of_their_start(tmp_path: Path) -> None:
    names = [Spool.create(tmp_path, started).path.name for started in (5, 40, 300)]

    assert names == sorted(names)
    assert all(f"-{os.getpid()}-" in name for name in names)


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path, spool: Spool) -> None:
    names = ("call.jsonl", "1.jsonl", "notes-2026-01-02.jsonl", f"{spool.path.stem}.jsonl.bak")
    for name in names:
        (spool.path.parent / name).write_text('{"type": "order"}\n' * 10)
    assert left_in(spool.path.parent) == [spool.path]
