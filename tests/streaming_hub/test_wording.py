"""How sentences list things."""

from __future__ import annotations

import pytest

from streaming_hub.wording import listing, not_set


@pytest.mark.parametrize(("words", "said"), [("a", "a"), ("ab", "a and b"), ("abcd", "a, b, c and d")])
def test_words_are_listed_as_in_a_sentence(words: str, said: str) -> None:
    assert listing(list(words)) == said
    assert listing(list(words), "or") == said.replace("and", "or")


def test_settings_that_are_missing_are_said_in_their_number() -> None:
    assert not_set(["A"]) == "A is not set"
    assert not_set(["A", "B"]) == "A and B are not set"
