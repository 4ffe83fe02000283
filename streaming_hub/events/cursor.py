"""Ids and positions: `<epoch>-<seq>`. Pure.

The epoch identifies one history; seq increases by one per event and is never reused within an epoch.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

ResetReason = Literal["malformed", "foreign", "future", "expired", "history_lost"]

_CURSOR = re.compile(r"([A-Za-z0-9]{1,32})-(0|[1-9][0-9]*)", re.ASCII)
_MAX_DIGITS: Final = 18
MAX_SHOWN: Final = 200
"""Maximum characters of an unusable cursor that are repeated to its sender."""


class Range(msgspec.Struct, frozen=True):
    """What a history has: `oldest` is the first stored seq (head + 1 if nothing is stored).

    Attributes:
        carried: earlier epochs of it, and the seq up to which their events survived a loss.
    """

    epoch: str
    oldest: int
    head: int
    carried: dict[str, int] = {}  # msgspec copies the default for each instance


class Reset(msgspec.Struct, frozen=True):
    """A cursor that cannot be honoured.

    Attributes:
        reason: why.
        requested: the cursor as sent, shortened.
        seq: its sequence number where it belongs to this epoch, else None.
        resume: the position up to which its reader has what survived; None where it starts at the oldest event.
    """

    reason: ResetReason
    requested: str
    seq: int | None = None
    resume: int | None = None


def show(epoch: str, seq: int) -> str:
    """Return the id of a sequence number."""
    return f"{epoch}-{seq}"


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id, of any history."""
    return _CURSOR.fullmatch(text) is not None


def resolve(cursor: str, stored: Range) -> int | Reset:
    """Return the position to resume after, or why that is not possible.

    A cursor matches exactly: this epoch, `-`, ASCII digits, within `[oldest - 1, head]`.
    """
    match = _CURSOR.fullmatch(cursor)
    requested = cursor[:MAX_SHOWN]
    if match is None:
        return Reset("malformed", requested)
    if match[1] in stored.carried and len(match[2]) <= _MAX_DIGITS:
        resume = max(min(int(match[2]), stored.carried[match[1]]), stored.oldest - 1)
        return Reset("history_lost", requested, resume=resume)
    if match[1] != stored.epoch:
        return Reset("foreign", requested)
    # Thousands of digits are a number, too, but int() refuses them.
    if len(match[2]) > _MAX_DIGITS or int(match[2]) > stored.head:
        return Reset("future", requested)
    seq = int(match[2])
    if seq < stored.oldest - 1:
        return Reset("expired", requested, seq)
    return seq
