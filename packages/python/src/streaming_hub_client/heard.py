"""The segments of the user's speech, and which of them committed messages have covered. Pure state.

LiveKit reports speech twice: as transcripts while it is heard, and as a message when its turn is committed. The
message may omit words that were heard, join several finals, have the transcript's `item_id`, or have been typed and
never heard. `streaming_hub_client.user_words` uses this to find the words of a message that were not sent yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming_hub_client.turn import Segment

SEGMENTS_REMEMBERED = 256


@dataclass
class Heard:
    """The user's segments of one session.

    Attributes:
        open: The segment whose final has not arrived yet.
        unconfirmed: The last segment, if it was closed without a final and no other words were heard since.
        by_id: Segments by LiveKit's item id: the transcript's, the message's, or both.
        pending: Segments with a final that no message has covered yet, oldest first.
    """

    open: Segment | None = None
    unconfirmed: Segment | None = None
    by_id: dict[str, Segment] = field(default_factory=dict)
    pending: list[Segment] = field(default_factory=list)

    def remember(self, item_id: str, segment: Segment) -> None:
        """Remember a segment by LiveKit's id; forget the oldest one over the limit."""
        self.by_id.pop(item_id, None)
        if len(self.by_id) >= SEGMENTS_REMEMBERED:
            del self.by_id[next(iter(self.by_id))]
        self.by_id[item_id] = segment

    def find(self, item_id: str | None, text: str) -> Segment | None:
        """Return the segment that a transcript continues, if there is one.

        The provider's item id decides, if there is one. Otherwise it is the open segment, or a segment that was closed
        before its final arrived and whose words the text repeats.
        """
        if item_id is not None and item_id in self.by_id:
            return self.by_id[item_id]
        if self.open is not None and (item_id is None or self.open.item_id is None):
            return self.open
        closed = self.unconfirmed
        same_kind = closed is not None and (item_id is None or closed.item_id is None)
        if closed is not None and same_kind and begins_with(text, closed.text):
            return closed
        return None

    def finish(self, segment: Segment) -> None:
        """Record that a segment's final has arrived."""
        if self.open is segment:
            self.open = None
        self.unconfirmed = None
        if segment not in self.pending:
            self.pending.append(segment)
            del self.pending[:-SEGMENTS_REMEMBERED]

    def close(self, segment: Segment) -> None:
        """Record that a segment ends without its final, which may still arrive."""
        self.finish(segment)
        self.unconfirmed = segment

    def overtaken(self, segment: Segment, text: str) -> bool:
        """Return whether an interim is late: its segment already has a final that includes it."""
        if not segment.final or segment is self.unconfirmed:
            return False
        return not (begins_with(text, segment.text) and len(text) > len(segment.text))

    def settle(self, segment: Segment) -> None:
        """Record that a segment's message has arrived."""
        if segment in self.pending:
            self.pending.remove(segment)

    def claim(self, text: str, ended_at: float, *, spoken: bool) -> Segment | None:
        """Take the finals that a message's text consists of, and return the last; None if there are none.

        Finals before them are dropped as well: LiveKit has dropped those words. The same words may have been said and
        dropped before.

        Args:
            text: The message's text.
            ended_at: When the message was made, seconds since 1970: later words belong to another one.
            spoken: Whether LiveKit, or the application in `on_user_turn_completed`, made it from speech. Otherwise the
                application may have passed on what it heard, but not words after which the agent said something else.
        """
        words, found = _words(text), -1
        for start in range(len(self.pending)):
            end = self._end_of(words, start)
            if end is None or (self.pending[end].turn.passed and not spoken):
                continue
            if found < 0 or self.pending[end].final_at <= ended_at:
                found = end
        if found < 0:
            return None
        segment = self.pending[found]
        del self.pending[: found + 1]
        return segment

    def _end_of(self, words: list[str], start: int) -> int | None:
        """Return the place of the final up to which those from `start` on consist of these words."""
        joined: list[str] = []
        for end in range(start, len(self.pending)):
            joined += _words(self.pending[end].text)
            if joined == words:
                return end
            if len(joined) >= len(words):
                break
        return None

    def claim_open(self, text: str) -> Segment | None:
        """Finish the open segment with its part of a spoken message and return it; None if it has no part.

        A turn that the application commits may end with words known only from interims.
        """
        segment = self.open
        if segment is None:
            return None
        words = text.split()
        for start in range(len(self.pending) + 1):
            before = [word for one in self.pending[start:] for word in _words(one.text)]
            rest = " ".join(words[len(before) :])
            if _words(" ".join(words[: len(before)])) == before and begins_with(rest, segment.text):
                self.pending.clear()
                self.open, segment.text, segment.final = None, rest, True
                return segment
        return None

    def claim_rewritten(self, ended_at: float) -> Segment | None:
        """Take the finals of a spoken message whose text the application has changed, and return the last.

        Args:
            ended_at: When the user's turn ended, seconds since 1970. Later words belong to another message.
        """
        found = None
        while self.pending and (found is None or self.pending[0].final_at <= ended_at):
            found = self.pending.pop(0)
        return found


def _words(text: str) -> list[str]:
    return text.casefold().split()


def begins_with(text: str, beginning: str) -> bool:
    """Return whether a text repeats the words of another and perhaps continues; False for no words."""
    first = " ".join(_words(beginning))
    return bool(first) and " ".join(_words(text)).startswith(first)
