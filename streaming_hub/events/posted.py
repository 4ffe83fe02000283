"""What a posted event is: bytes in, `Event`s out, or an error that names the field.

Pure: no I/O, no clock. Once an `Event` exists, no later code checks it again. The posted bytes travel on
unchanged (only line breaks between tokens become spaces), so numbers, escapes and unknown fields arrive as
they were sent.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from streaming_hub.errors import (
    BadRequest,
    HubError,
    InvalidEvent,
    TooLarge,
)
from streaming_hub.events.malformed import JSON_STRING, why_not_json
from streaming_hub.events.types import CONTROL_TYPES, PROCESS_TYPES
from streaming_hub.events.types.base import MAX_TIMESTAMP
from streaming_hub.wording import listing

MAX_EVENT_BYTES: Final = 64 * 1024
MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_BATCH_EVENTS: Final = 1000
MAX_DEPTH: Final = 32

MAX_TYPE: Final = 64
"""Characters of a type's name."""
TYPE_PATTERN: Final = rf"[A-Za-z][A-Za-z0-9_.:-]{{0,{MAX_TYPE - 1}}}"
"""Pattern of a type's name."""
NAME_PATTERN: Final = r"^[^\r\n\x00]+$(?!\n)"
"""Pattern of the name of a room or a session. In Python, `$` alone also matches before a line feed at the end."""

OWN_EVENT_IDS: Final = ("report:", "upload:")
"""Prefixes of `event_id`s that only the hub assigns: of its own reports, and of what it makes of uploads, each of which
exists once."""

_OWN: Final = listing(OWN_EVENT_IDS, "or")
_TYPE = re.compile(TYPE_PATTERN)
_STRING_FIELDS: Final = frozenset({"room", "session_id", "participant", "role", "turn_id", "event_id"})
_BREAKS_FIELD = re.compile("[\r\n\0]")
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
# An integer with this many digits is too large for a double.
_LONG_NUMBER: Final = b"0" * 309
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")

_decoder = msgspec.json.Decoder()
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_objects_decoder = msgspec.json.Decoder(list[dict[str, Any]])
_encoder = msgspec.json.Encoder()


class Event(msgspec.Struct, frozen=True, gc=False):
    """A valid event.

    Attributes:
        type: what happened.
        body: the JSON object as posted, UTF-8, without CR and LF.
        stamped: whether `body` has a `timestamp`.
        room, session_id, participant, role: what filters and state look at.
        event_id: what makes a retry harmless, or None.
        operator_only: whether the event says `"audience": "operator"`.
        segment: the `segment_id` of an interim transcript, which a newer one replaces; None otherwise.
        supervised: whether the agent process that the hub started posted it.
    """

    type: str
    body: bytes
    stamped: bool
    room: str | None = None
    session_id: str | None = None
    participant: str | None = None
    role: str | None = None
    event_id: str | None = None
    operator_only: bool = False
    segment: str | None = None
    supervised: bool = False


def parse_one(body: bytes, *, idempotency_key: str | None = None) -> Event:
    """Read one posted event.

    Args:
        body: a JSON object, at most 64 KiB.
        idempotency_key: stands for a missing `event_id`.

    Raises:
        BadRequest: empty, or not JSON.
        InvalidEvent: JSON, but not an event.
        TooLarge: over 64 KiB.
    """
    if not body.strip():
        raise BadRequest("The body is empty: send an event as a JSON object, or several as an array.")
    return _keyed(_event(body, ""), idempotency_key)


def parse_array(body: bytes, *, idempotency_key: str | None = None) -> list[Event]:
    """Read a JSON array of events, all or nothing.

    Raises:
        BadRequest, InvalidEvent, TooLarge: as for one event; the detail names the index.
    """
    parts = _elements(body)
    return _keyed_each(_read_at_once(body, parts) or _events(parts), idempotency_key)


def parse_ndjson(body: bytes, *, idempotency_key: str | None = None) -> list[Event]:
    """Read newline-delimited JSON (one event a line, blank lines skipped), all or nothing.

    Raises:
        BadRequest, InvalidEvent, TooLarge: as for one event; the detail names the index.
    """
    _check_batch_size(body)
    return _keyed_each(_events([line for line in body.split(b"\n") if line.strip()]), idempotency_key)


def make(fields: dict[str, Any]) -> Event:
    """Make an event of the server's own from a dict with at least `type`."""
    return _from_fields(fields, _encoder.encode(fields), "", own=True)


def rebuild(event: Event, fields: object) -> Event:
    """Return the event with other fields, checked again (the result of a redaction hook).

    The `event_id` stays, so that a retry is recognised whatever the hook took out.

    Raises:
        InvalidEvent: the fields are not an event.
        TooLarge: the hook has made it longer than an event may be.
    """
    if not isinstance(fields, dict):
        raise InvalidEvent(f"The redaction hook returned {type(fields).__name__}; it must return a dict.")
    own = event.event_id is not None and event.event_id.startswith(OWN_EVENT_IDS)
    body = _encoder.encode(fields)
    if len(body) > max(MAX_EVENT_BYTES, len(event.body)):
        raise TooLarge(f"The redaction hook returned an event of {len(body)} bytes.")
    changed = _from_fields(fields, body, "", own=own)
    return msgspec.structs.replace(changed, event_id=event.event_id)


def fields_of(event: Event) -> dict[str, Any]:
    """Decode the event's JSON object."""
    fields: dict[str, Any] = _decoder.decode(event.body)
    return fields


def _check_batch_size(body: bytes) -> None:
    if len(body) > MAX_BATCH_BYTES:
        raise TooLarge(
            f"The batch has {len(body)} bytes; at most {MAX_BATCH_BYTES} are accepted. Send smaller batches."
        )


def _elements(body: bytes) -> list[bytes]:
    _check_batch_size(body)
    try:
        return [bytes(raw) for raw in _array_decoder.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not a JSON array: {why_not_json(body, error)}.") from error


def _read_at_once(body: bytes, parts: list[bytes]) -> list[Event] | None:
    """Fast path: read a whole array at once; None if an element needs a closer check."""
    longest = max(map(len, parts), default=0)
    # The array has a bracket and each event at least one: so few more cannot nest one of them too deeply.
    brackets = body.count(b"{") + body.count(b"[")
    if longest > MAX_EVENT_BYTES or len(parts) > MAX_BATCH_EVENTS or brackets > len(parts) + MAX_DEPTH:
        return None
    if b"\n" in body or b"\r" in body or _may_hold_long_number(body):
        return None
    try:
        return [
            _from_fields(fields, part, "")
            for fields, part in zip(_objects_decoder.decode(body), parts, strict=True)
        ]
    except (HubError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Found again one by one, with its place.
        return None


def _events(parts: list[bytes]) -> list[Event]:
    if len(parts) > MAX_BATCH_EVENTS:
        raise TooLarge(f"The batch has {len(parts)} events; at most {MAX_BATCH_EVENTS} are accepted.")
    try:
        return [_event(part, "") for part in parts]
    except HubError:
        # Parse again to find the position: only rejected requests pay for it.
        return [_event(part, f"[{index}]") for index, part in enumerate(parts)]


def _keyed_each(events: list[Event], key: str | None) -> list[Event]:
    if key is None:
        return events
    # NUL cannot stand in an event_id, so a key for one place of a batch never equals a posted one.
    return [_keyed(event, f"{key}\0{index}") for index, event in enumerate(events)]


def _keyed(event: Event, key: str | None) -> Event:
    if key is None or event.event_id is not None:
        return event
    if key.startswith(OWN_EVENT_IDS):
        raise _wrong("", "Idempotency-Key", key, f"ids that begin with {_OWN} are reserved for the hub")
    return msgspec.structs.replace(event, event_id=key)


def _event(body: bytes, where: str) -> Event:
    if len(body) > MAX_EVENT_BYTES:
        at = f" at {where}" if where else ""
        raise TooLarge(f"The event{at} has {len(body)} bytes; at most {MAX_EVENT_BYTES} are accepted.")
    # Most events have few brackets in all, in strings or not: then no closer check is needed.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(body, where)
    try:
        fields = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidEvent(
            f"{_at(where)}a number cannot be represented: {error}.", field=where or None
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{_at(where)}not JSON: {why_not_json(body, error)}.") from error
    if not isinstance(fields, dict):
        raise InvalidEvent(f"{_at(where)}an event is a JSON object, not {_name(fields)}.")
    if _may_hold_long_number(body):
        _check_integers(fields, where)
    if b"\n" in body or b"\r" in body:
        body = body.translate(_LINE_BREAKS)
    return _from_fields(fields, body.strip(), where)


def _check_depth(body: bytes, where: str) -> None:
    depth = 0
    for byte in JSON_STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        if byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidEvent(f"{_at(where)}nested deeper than {MAX_DEPTH} levels.")
        elif byte in b"}]":
            depth -= 1


def _may_hold_long_number(body: bytes) -> bool:
    # A pattern takes ten times as long.
    return len(body) >= len(_LONG_NUMBER) and _LONG_NUMBER in body.translate(_DIGITS_ALIKE)


def _check_integers(value: object, where: str) -> None:
    """Reject integers that overflow a double, as in browsers."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_integers(item, where)
    elif isinstance(value, int):
        try:
            float(value)
        except OverflowError as error:
            raise InvalidEvent(f"{_at(where)}a number is too large: {len(str(value))} digits.") from error


def _from_fields(fields: dict[str, Any], body: bytes, where: str, *, own: bool = False) -> Event:
    get = fields.get
    kind = get("type", msgspec.UNSET)
    if type(kind) is not str or len(kind) > MAX_TYPE or not _may_be_posted(kind):
        kind = _checked_type(kind, where, own=own)
    if "id" in fields:
        raise _wrong(where, "id", get("id"), "not allowed: the server assigns ids; use event_id for your own")
    for name in _STRING_FIELDS & fields.keys():
        value = fields[name]
        # Nearly all are printable, and then no closer check is needed.
        if type(value) is not str or not value.isprintable():
            _check_string(where, name, value)
    event_id = get("event_id")
    if event_id is not None and not own and event_id.startswith(OWN_EVENT_IDS):
        raise _wrong(where, "event_id", event_id, f"ids that begin with {_OWN} are reserved for the hub")
    stamp = get("timestamp", msgspec.UNSET)
    stamped = stamp is not msgspec.UNSET
    if stamped and not (type(stamp) is float and 0 <= stamp < MAX_TIMESTAMP):
        _check_timestamp(where, stamp)
    interim = kind == "transcript" and get("is_final") is False
    segment = get("segment_id") if interim else None
    return Event(
        kind,
        body,
        stamped,
        get("room"),
        get("session_id"),
        get("participant"),
        get("role"),
        event_id or None,  # every event with an empty one would be a repeat of the first
        get("audience") == "operator",
        segment if isinstance(segment, str) else None,
    )


@lru_cache(maxsize=1024)
def _may_be_posted(kind: str) -> bool:
    return _TYPE.fullmatch(kind) is not None and kind not in CONTROL_TYPES and kind not in PROCESS_TYPES


def _checked_type(kind: object, where: str, *, own: bool) -> str:
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise _wrong(where, "type", kind, "expected a letter, then letters, digits, _ . : or -, at most 64")
    if kind in CONTROL_TYPES or (kind in PROCESS_TYPES and not own):
        raise _wrong(where, "type", kind, "only the server creates events of this type; choose another")
    return kind


def _check_string(where: str, name: str, value: object) -> None:
    if not isinstance(value, str):
        raise _wrong(where, name, value, "expected a string; omit the field if there is none")
    if _BREAKS_FIELD.search(value):
        raise _wrong(where, name, value, "expected a string without CR, LF and NUL")


def _check_timestamp(where: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_TIMESTAMP
    if not number:
        raise _wrong(where, "timestamp", value, "expected seconds since 1970, from 0 to below 1e11")


def _wrong(where: str, field: str, value: object, expected: str) -> InvalidEvent:
    if value is msgspec.UNSET:
        found = f"{field} is missing"
    else:
        plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        found = f"{field}: {repr(value)[:80] if plain else _name(value)}"
    return InvalidEvent(f"{_at(where)}{found}: {expected}.", field=f"{where}.{field}".lstrip("."))


def _at(where: str) -> str:
    return f"Event {where}: " if where else ""


def _name(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
