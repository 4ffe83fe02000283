"""How rooms' states become `snapshot` events: as many as it takes, none larger than a line that readers accept. Pure.

A reader's own limit is what counts here: aiohttp refuses lines of 512 KiB, others have less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events.sse import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_BYTES: Final = 240_000
"""Bytes of JSON that the rooms of one snapshot event have; with what is around them the line stays below 256,000."""
MOST_TEXT: Final = 10_000
"""Characters that a shortened state has of one text: the open turn's words, a state's name."""

_encode = msgspec.json.Encoder().encode


def snapshots(as_of: str, states: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events that contain all states, in order; one without rooms if there are none.

    Args:
        as_of: the position that the states stand at.
        states: each as `GET /api/rooms/NAME` returns it.
    """
    part, size = 1, 0
    rooms: list[msgspec.Raw] = []
    for state in states:
        data = _fitting(state)
        if rooms and size + len(data) + 1 > MOST_BYTES:
            yield _event(as_of, rooms, part, more=True)
            part, rooms, size = part + 1, [], 0
        rooms.append(msgspec.Raw(data))
        size += len(data) + 1
    yield _event(as_of, rooms, part, more=False)


def shortened(state: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Return as much of a room's state as fits, and say in `left_out` how much of what is missing.

    The newest lines, tool calls and sessions stay. `left_out` gives the number of entries that a list lacks, and of
    characters that a text lacks.

    Args:
        state: the room's state.
        most: bytes of JSON.
    """
    left_out: dict[str, Any] = {}
    short = {**state, "left_out": left_out}
    for name in ("agent_state", "user_state"):
        text = short.get(name)
        if isinstance(text, str) and len(text) > MOST_TEXT:
            short[name], left_out[name] = text[:MOST_TEXT], len(text) - MOST_TEXT
    turn = short.get("turn")
    if isinstance(turn, dict):
        words = {name: turn[name] for name in ("user", "agent") if isinstance(turn.get(name), str)}
        missing = sum(max(0, len(text) - MOST_TEXT) for text in words.values())
        short["turn"] = {**turn, **{name: text[-MOST_TEXT:] for name, text in words.items()}}
        left_out |= {"turn": missing} if missing else {}
    lists = [name for name in _LISTS if short.get(name)]
    # What is counted here is as long at the end: the numbers of `left_out` have their room already.
    short |= {name: [] for name in lists}
    room = most - _size(short) - 40 * len(_LISTS)
    for name in lists:
        kept: list[Any] = []
        for entry in reversed(state[name]):
            room -= _size(entry) + 1
            if room < 0:
                left_out[name] = len(state[name]) - len(kept)
                room += _size(entry) + 1
                break
            kept.append(entry)
        short[name] = kept[::-1]
    return short


_LISTS: Final = ("speaking", "participants", "transcript", "sessions", "tools")
"""The lists of a room's state, those first that a reader misses most."""


def _fitting(state: Mapping[str, Any]) -> bytes:
    data = one_line(_encode(state))
    return data if len(data) <= MOST_BYTES else one_line(_encode(shortened(state, MOST_BYTES)))


def _size(value: object) -> int:
    return len(one_line(_encode(value)))


def _event(as_of: str, rooms: list[msgspec.Raw], part: int, *, more: bool) -> dict[str, Any]:
    return {"type": "snapshot", "as_of": as_of, "part": part, "more": more, "rooms": rooms}
