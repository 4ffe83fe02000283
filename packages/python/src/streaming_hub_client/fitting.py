"""Makes an event acceptable to the hub: JSON, valid Unicode, at most 64 KiB. Pure.

Fields that are too long are cut, and `truncated` lists them: field -> its original length in UTF-8 bytes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec

from streaming_hub_client.data import complete, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub_client.conversation import Event

MAX_BYTES = 64 * 1024 - 512
"""Maximum bytes of an event. Below the hub's 64 KiB, because the poster adds an `event_id` and the lease."""
ELLIPSIS = "…"

_SMALL = 256
_LONG_NAME = 1024
_KEPT = frozenset({"type", "timestamp", "truncated"})
_LINE_FIELDS = ("room", "session_id", "participant", "role", "turn_id", "event_id")
"""Fields that must not contain CR, LF or NUL."""
_NAMES = frozenset({"type", "timestamp", "segment_id", "call_id", "truncated", *_LINE_FIELDS})
"""Fields that identify the subject of the event, cut only if they are absurdly long."""
_BREAKS = re.compile("[\r\n\0]")

_encode = msgspec.json.Encoder().encode


def fit(event: Event) -> Event:
    """Convert an event to a form that the hub accepts.

    Args:
        event: Any fields with any values.

    Returns:
        A new event of plain JSON data with at most `MAX_BYTES` bytes. If fields were cut, `truncated` gives the
        original UTF-8 length of each: of its text, or of its JSON if it is not text.
    """
    fitted: Event = plain(event)
    for name in _LINE_FIELDS:
        value = fitted.get(name)
        if isinstance(value, str) and _BREAKS.search(value):
            fitted[name] = _BREAKS.sub("\N{REPLACEMENT CHARACTER}", value)
    if len(_encode(fitted)) > MAX_BYTES:
        fitted = {cut_text(name, _SMALL): value for name, value in fitted.items()}
        fitted = _shortened(fitted, [name for name in fitted if _may_be_cut(name, fitted[name])])
    return fitted


def _may_be_cut(name: str, value: Any) -> bool:
    return name not in _NAMES or (name not in _KEPT and len(_encode(value)) > _LONG_NAME)


def _shortened(event: Event, names: list[str]) -> Event:
    """Cut the longest of the named fields to the same size, so that the event fits, if it can."""
    told = dict(event["truncated"]) if _is_ours(event) else {}
    sizes = {name: len(_encode(event[name])) for name in names}
    room = MAX_BYTES - len(_encode({**event, "truncated": told})) + sum(sizes.values())
    cut: dict[str, int] = {}
    while True:
        limit = _share(list(sizes.values()), room - len(_encode(cut)))
        long = [name for name in names if sizes[name] > limit]
        if cut.keys() >= set(long):
            break
        cut |= {name: told.get(name, _length(event[name])) for name in long}
    parts = {name: _cut(event[name], limit) for name in long}
    whole = {**event, **parts, "truncated": told | {name: cut[name] for name in long}}
    while len(_encode(whole)) > MAX_BYTES and len(long) > 1:  # Too many fields: leave out the last ones.
        left_out, long = long[len(long) // 2 :], long[: len(long) // 2]
        gone = sum(sizes[name] for name in left_out) + whole["truncated"].get(ELLIPSIS, 0)
        kept = {name: length for name, length in whole["truncated"].items() if name not in left_out}
        whole = {name: value for name, value in whole.items() if name not in left_out}
        whole["truncated"] = kept | {ELLIPSIS: gone}
    return whole


def _is_ours(event: Event) -> bool:
    told = event.get("truncated")
    return isinstance(told, dict) and all(isinstance(length, int) for length in told.values())


def _share(sizes: list[int], budget: int) -> int:
    """Return the size to which the largest must be cut so that the total stays within the budget."""
    left = budget
    for place, size in enumerate(sorted(sizes)):
        fair = left // (len(sizes) - place)
        if size > fair:
            return fair
        left -= size
    return max(sizes)


def _length(value: Any) -> int:
    return len(value.encode()) if isinstance(value, str) else len(_encode(value))


def _cut(value: Any, size: int) -> Any:
    """Cut a value until its JSON has at most `size` bytes, preserving its structure if possible."""
    if len(_encode(value)) <= size:
        return value
    if isinstance(value, str):
        return cut_text(value, size)
    # First shorten its texts, then leave out its last items.
    short = _with_texts_of(value, _SMALL)
    if len(_encode(short)) <= size:
        return _largest(lambda longest: _with_texts_of(value, longest), short, size, size)
    few = _with_parts(short, 1)
    if len(_encode(few)) <= size:
        return _largest(lambda parts: _with_parts(short, parts), few, _widest(short), size)
    return cut_text(json.dumps(value, ensure_ascii=False), size)


def _largest(make: Callable[[int], Any], best: Any, high: int, size: int) -> Any:
    """Return the largest result of `make`, for numbers up to `high`, whose JSON has at most `size` bytes.

    Each step walks the whole value, so stop at a result that uses 7/8 of the size.
    """
    low = 1
    while low <= high and len(_encode(best)) < size * 7 // 8:
        middle = (low + high) // 2
        made = make(middle)
        if len(_encode(made)) <= size:
            best, low = made, middle + 1
        else:
            high = middle - 1
    return best


def _widest(value: Any) -> int:
    """Return the length of the longest list or object in a value."""
    if not isinstance(value, list | dict):
        return 0
    parts = value.values() if isinstance(value, dict) else value
    return max([len(value), *(_widest(part) for part in parts)])


def _with_texts_of(value: Any, size: int) -> Any:
    if isinstance(value, str):
        return cut_text(value, size)
    if isinstance(value, list):
        return [_with_texts_of(item, size) for item in value]
    if isinstance(value, dict):
        return {key: _with_texts_of(item, size) for key, item in value.items()}
    return value


def _with_parts(value: Any, count: int) -> Any:
    if isinstance(value, list):
        kept = [_with_parts(item, count) for item in value[:count]]
        return [*kept, ELLIPSIS] if len(value) > count else kept
    if isinstance(value, dict):
        shown = {key: _with_parts(item, count) for key, item in list(value.items())[:count]}
        return shown | ({ELLIPSIS: None} if len(value) > count else {})
    return value


def cut_text(text: str, size: int) -> str:
    """Cut a text and add an ellipsis, so that its JSON has at most `size` bytes.

    Never separates a character from its combining marks, joiners and selectors.
    """
    if len(_encode(text)) <= size:
        return text
    start = _decoded_start(_encode(text)[1 : max(1, size - 1 - len(ELLIPSIS.encode()))])
    low = end = len(start)
    while end > 0 and end > low - 32 and (_continues(text[end]) or text[end - 1] == "\N{ZERO WIDTH JOINER}"):
        end -= 1
    return complete(text[:end]) + ELLIPSIS


def _decoded_start(block: bytes) -> str:
    """Decode a truncated JSON string without its quotes, up to the last complete character or escape."""
    for end in range(len(block), max(len(block) - 8, 0), -1):
        try:
            return msgspec.json.decode(b'"' + block[:end] + b'"', type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # Cut within a character or an escape: try one byte less.
    return ""


def _continues(character: str) -> bool:
    return unicodedata.combining(character) != 0 or unicodedata.category(character) in (
        "Mn",
        "Me",
        "Mc",
        "Cf",
    )
