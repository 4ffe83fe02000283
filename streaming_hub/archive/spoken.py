"""What the search index holds of an utterance, and how queries match it. Pure; one tokeniser for both databases.

Words are those of `words`, case-folded. Scripts without spaces have no words to look up, so their runs are indexed as
overlapping pairs of characters and the last character: "abc" as "ab", "bc", "c". A query's run matches where its pairs
follow one another, so it matches as a substring; a single character matches as the prefix of a pair.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from streaming_hub.archive import words
from streaming_hub.archive.words import MARK, SPACELESS

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_TOKENS: Final = 16_000
"""Maximum number of indexed tokens per utterance; PostgreSQL has no positions beyond 16,383."""


def tokens(text: str) -> list[str]:
    """Return an utterance's tokens, in order."""
    found: list[str] = []
    for piece, spaceless in _pieces(folded(text)):
        if spaceless:
            found.extend(piece[index : index + 2] for index in range(len(piece)))
        else:
            found.append(piece)
    return found[:MOST_TOKENS]


def asked(query: str) -> list[list[str]]:
    """Return the phrases that an utterance must contain to match, each a run of consecutive tokens.

    A single character of a script without spaces matches as a prefix; see `prefix`.
    """
    phrases: list[list[str]] = []
    for piece, spaceless in _pieces(folded(query)):
        if spaceless and len(piece) > 1:
            phrases.append([piece[index : index + 2] for index in range(len(piece) - 1)])
        else:
            phrases.append([piece])
    return phrases


def prefix(phrase: list[str]) -> bool:
    """Return whether a phrase matches as a prefix of a token."""
    return len(phrase) == 1 and len(phrase[0]) == 1 and words.kind(phrase[0]) == SPACELESS


def for_sqlite(phrases: list[list[str]]) -> str:
    """Write a query for FTS5."""
    # Within quotes there are no operators, and no token contains a quote.
    return " AND ".join(f'"{" ".join(phrase)}"{" *" if prefix(phrase) else ""}' for phrase in phrases)


def for_postgresql(phrases: list[list[str]]) -> str:
    """Write a query as PostgreSQL's tsquery."""
    return " & ".join(
        "(" + " <-> ".join(f"{_lexeme(token)}{':*' if prefix(phrase) else ''}" for token in phrase) + ")"
        for phrase in phrases
    )


def vector(found: list[str]) -> str:
    """Write tokens as PostgreSQL's tsvector."""
    return " ".join(f"{_lexeme(token)}:{place}" for place, token in enumerate(found, 1))


def folded(text: str) -> str:
    """Return a text in the form used for comparison."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _lexeme(token: str) -> str:
    # PostgreSQL rejects lexemes of 2 KB or more.
    quoted = token[:400].replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}'"


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yield words, and runs of scripts without spaces with the marks on their letters."""
    run = ""
    plain = ""
    for character in text:
        what = words.kind(character)
        if what == SPACELESS or (what == MARK and run and words.in_spaceless_script(character)):
            yield from ((word, False) for word in words.runs(plain))
            plain = ""
            run += character
            continue
        if run:
            yield run, True
            run = ""
        plain += character
    if run:
        yield run, True
    yield from ((word, False) for word in words.runs(plain))
