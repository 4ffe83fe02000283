"""The agent's words as they are spoken: a text output for the end of LiveKit's chain. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.agents.voice import io

if TYPE_CHECKING:
    from collections.abc import Callable


class SpokenWords(io.TextOutput):
    """The text output at the end of LiveKit's chain, where words arrive as they are spoken.

    Args:
        on_words: Called with each word; must not block.
        next_in_chain: The text output to pass the words on to, if any.
    """

    def __init__(self, on_words: Callable[[str], None], next_in_chain: io.TextOutput | None = None) -> None:
        super().__init__(label="SpokenWords", next_in_chain=next_in_chain)
        self._on_words = on_words

    def before(self, next_in_chain: io.TextOutput | None) -> SpokenWords:
        """Return an output for the same words that passes them on to the given one."""
        return SpokenWords(self._on_words, next_in_chain)

    async def capture_text(self, text: str) -> None:
        """Process the next word."""
        self._on_words(str(text))
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        """Pass the end of a segment on. It is ignored here, because LiveKit calls it more than once per segment."""
        if self.next_in_chain is not None:
            self.next_in_chain.flush()
