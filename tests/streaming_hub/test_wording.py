"""How sentences list things and give ages."""

from __future__ import annotations

import pytest

from streaming_hub.wording import age_text, listing, not_set


@pytest.mark.parametrize(("words", "said"), [("a", "a"), ("ab", "a and b"), ("abcd", "a, b, c and d")])
def test_words_are_listed_as_in_a_sentence(words: str, said: str) -> None:
    assert listing(list(words)) == said
    assert listing(list(words), "or") == said.replace("and", "or")


def test_settings_that_are_missing_are_said_in_their_number() -> None:
    assert not_set(["A"]) == "A is not set"
    assert not_set(["A", "B"]) == "A and B are not set"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2_592_000.0, "30 days"),
        (86_400.0, "1 day"),
        (3600.0, "3600 s"),
        (90_000.5, "90000.5 s"),
        (0.5, "0.5 s"),
    ],
)
def test_an_age_is_as_a_setting_has_it(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
