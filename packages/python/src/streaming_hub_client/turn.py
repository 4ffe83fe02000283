"""A turn of a conversation, and the segments of speech in it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Turn:
    """One user utterance and its answer; a greeting is a turn without the utterance.

    Attributes:
        id: The turn's name, unique across sessions.
        number: Grows from turn to turn.
        worded: Whether words of the user were sent for it.
        committed: Whether LiveKit has added the user's message, so that later words start the next turn.
        answered: Whether the agent has started to work on its answer.
        passed: Whether the agent has said something else since, because LiveKit dropped the user's words or the
            application handles them itself.
    """

    id: str
    number: int = 0
    worded: bool = False
    committed: bool = False
    answered: bool = False
    passed: bool = False


@dataclass
class Segment:
    """A piece of speech whose interim transcripts and final share one id.

    Attributes:
        id: The segment's name, unique across sessions.
        turn: The turn it belongs to.
        text: Its words so far.
        item_id: LiveKit's id of the input it transcribes, if the model gives one.
        final: Whether its final was sent.
        final_at: When the final arrived, seconds since 1970.
    """

    id: str
    turn: Turn
    text: str = ""
    item_id: str | None = None
    final: bool = False
    final_at: float = 0.0
