"""What the search index holds and what a query asks of it, by the vectors that the console's marks pass, too."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from streaming_hub.archive import spoken
from tests.kit.process import ROOT

VECTORS = ROOT / "tests/vectors/search"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "cases.json").read_text(encoding="utf-8"))
PIECES: list[dict[str, Any]] = json.loads((VECTORS / "pieces.json").read_text(encoding="utf-8"))


def matches(text: str, query: str) -> bool:
    """Return whether each phrase of the query stands in the text's tokens, one token after the other."""
    found = spoken.tokens(text)
    return all(
        any(
            found[at].startswith(phrase[0])
            if spoken.prefix(phrase)
            else found[at : at + len(phrase)] == phrase
            for at in range(len(found))
        )
        for phrase in spoken.asked(query)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['query']} in {case['text']}")
def test_a_query_matches(case: dict[str, Any]) -> None:
    assert matches(case["text"], case["query"]) is case["found"]


@pytest.mark.parametrize("case", PIECES, ids=lambda case: str(case["text"]))
def test_a_text_has_words_and_runs(case: dict[str, Any]) -> None:
    expected: list[str] = []
    for piece, is_run in case["pieces"]:
        expected += [piece[at : at + 2] for at in range(len(piece))] if is_run else [piece]
    assert spoken.tokens(case["text"]) == expected


def test_a_query_has_no_operators_for_sqlite() -> None:
    index = sqlite3.connect(":memory:")
    index.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    index.execute("INSERT INTO words VALUES ('a or b')")
    for query, found in (('"a" OR NOT', 0), ('"a" OR b*', 1), ("-a", 1), ("text:a", 0)):
        written = spoken.for_sqlite(spoken.asked(query))
        assert len(index.execute("SELECT * FROM words WHERE words MATCH ?", [written]).fetchall()) == found


def test_a_query_is_quoted_for_postgresql() -> None:
    assert spoken.for_postgresql([["don't"], ["a\\"]]) == "('don''t') & ('a\\\\')"
    assert spoken.for_postgresql([["退"]]) == "('退':*)"
    assert spoken.vector(["don't", "go"]) == "'don''t':1 'go':2"


def test_only_so_much_of_an_utterance_is_indexed() -> None:
    assert len(spoken.tokens("word " * (spoken.MOST_TOKENS + 1))) == spoken.MOST_TOKENS
