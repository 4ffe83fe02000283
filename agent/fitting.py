"""Make an event one that the hub takes: JSON, valid Unicode, at most 64 KiB. Pure.

What is too long is cut, and the event says so in `truncated`: field -> its length before, in UTF-8 bytes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec

from agent.data import complete, plain

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.conversation import Event

MAX_BYTES = 64 * 1024 - 512
"""Size of an event here, in bytes; the hub takes 64 KiB, and the poster adds an `event_id` and the lease."""
ELLIPSIS = "…"

_SMALL = 256
_LINE_FIELDS = ("room", "session_id", "participant", "role", "turn_id", "event_id")
"""Fields that the hub takes without CR, LF and NUL only."""
_NAMES = frozenset({"type", "timestamp", "segment_id", "call_id", "truncated", *_LINE_FIELDS})
"""Fields that tell what the event is about: cut last."""
_BREAKS = re.compile("[\r\n\0]")

_encode = msgspec.json.Encoder().encode


def fit(event: Event) -> Event:
    """Return the event as the hub takes it.

    Args:
        event: Any fields with any values.

    Returns:
        A new event of plain JSON data with at most `MAX_BYTES` bytes. If something was cut, `truncated` names
        each field and the UTF-8 bytes that it had: of the text, or of the JSON of another value.
    """
    fitted: Event = plain(event)
    for name in _LINE_FIELDS:
        value = fitted.get(name)
        if isinstance(value, str) and _BREAKS.search(value):
            fitted[name] = _BREAKS.sub("\N{REPLACEMENT CHARACTER}", value)
    if len(_encode(fitted)) > MAX_BYTES:
        _shorten(fitted, fitted.keys() - _NAMES)
        if len(_encode(fitted)) > MAX_BYTES:
            _shorten(fitted, fitted.keys() - {"type", "timestamp", "truncated"})
    return fitted


def _shorten(event: Event, names: Collection[str]) -> None:
    """Cut the longest of the named fields until the event fits, or none is left to cut."""
    whole = {name: _length(event[name]) for name in names}
    cut: dict[str, int] = dict(event.get("truncated") or {}) if _is_ours(event) else {}
    waiting = sorted(names, key=lambda name: len(_encode(event[name])), reverse=True)
    for place, name in enumerate(waiting):
        event["truncated"] = {**cut, name: whole[name]}
        size = len(_encode(event[name]))
        over = len(_encode(event)) - MAX_BYTES
        if over <= 0:
            event["truncated"] = cut
            break
        # long fields of about the same length share what there is
        rivals = [size, *(len(_encode(event[other])) for other in waiting[place + 1 :])]
        event[name] = _cut(event[name], max(size - over, _share(rivals, sum(rivals) - over), _SMALL))
        if _length(event[name]) < whole[name]:
            cut[name] = whole[name]
    event["truncated"] = cut
    if not cut:
        del event["truncated"]


def _is_ours(event: Event) -> bool:
    told = event.get("truncated")
    return isinstance(told, dict) and all(isinstance(length, int) for length in told.values())


def _share(sizes: list[int], budget: int) -> int:
    """Return the size that the largest may have so that all of them, cut to it, stay within the budget."""
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
    """Return a value whose JSON has at most so many bytes; the structure is kept where that is possible."""
    if len(_encode(value)) <= size:
        return value
    if isinstance(value, str):
        return cut_text(value, size)
    longest = size
    while longest > _SMALL:  # first shorten the texts in it, then leave out the last of many parts
        shorter = _with_texts_of(value, longest)
        if len(_encode(shorter)) <= size:
            return shorter
        longest //= 2
    parts = size
    while parts > 1:
        fewer = _with_parts(_with_texts_of(value, _SMALL), parts)
        if len(_encode(fewer)) <= size:
            return fewer
        parts //= 2
    return cut_text(json.dumps(value, ensure_ascii=False), size)


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
    """Return the start of a text, with an ellipsis, so that its JSON has at most so many bytes.

    A character is not separated from the marks, joiners and selectors that belong to it.
    """
    if len(_encode(text)) <= size:
        return text
    low, high = 0, min(len(text), size)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encode(text[:middle] + ELLIPSIS)) <= size:
            low = middle
        else:
            high = middle - 1
    end = low
    while end > 0 and end > low - 32 and (_continues(text[end]) or text[end - 1] == "\N{ZERO WIDTH JOINER}"):
        end -= 1
    return complete(text[:end]) + ELLIPSIS


def _continues(character: str) -> bool:
    return unicodedata.combining(character) != 0 or unicodedata.category(character) in (
        "Mn",
        "Me",
        "Mc",
        "Cf",
    )
