"""Lists, filters, sorting, pages and search, against a slow version that looks at every session.

Covers

    streaming_hub.archive.messages
    streaming_hub.archive.views
    streaming_hub.archive.word_index
"""

from __future__ import annotations

import contextlib
import itertools
import random
from typing import Any

import pytest

from streaming_hub.archive import queries, spoken, views, words
from streaming_hub.archive.messages import SORTS, Search
from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.sidecar.database import Database
from streaming_hub.web import times
from tests.streaming_hub.archive.calls import START, WORDS, Line, archived, expected, some_calls

LINE = some_calls(11, 40, live=6)
SESSIONS = [expected(LINE, *key) for key in LINE.sessions()]


def value(session: dict[str, Any], sort: str) -> float | None:
    found = session[sort]
    return found["p95"] if isinstance(found, dict) else found


def slowly(search: Search) -> list[dict[str, Any]]:
    chosen = []
    for detail in SESSIONS:
        session = detail["session"]
        people = {one["identity"] for one in session["participants"]}
        if (
            (search.allowed is None or session["room"] in search.allowed)
            and (not search.room or (session["room"] or "") in search.room)
            and (not search.participant or people & set(search.participant))
            and (not search.agent or session["agent"] in search.agent)
            and (not search.reason or session["reason"] in search.reason)
            and (not search.state or session["state"] in search.state)
            and (search.since is None or session["started"] >= search.since)
            and (search.until is None or session["started"] < search.until)
            and (not search.failed_tools or session["tool_failures"])
            and (not search.errors or session["errors"])
            and (search.latency_over is None or (value(session, "latency") or 0) > search.latency_over)
            and (not search.q or any(said(line["text"], search.q) for line in detail["transcript"]))
        ):
            chosen.append(session)
    chosen.sort(key=lambda one: one["session_id"])
    present = [one for one in chosen if value(one, search.sort) is not None]
    present.sort(key=lambda one: value(one, search.sort), reverse=search.descending)
    return present + [one for one in chosen if value(one, search.sort) is None]


def said(text: str | None, query: str) -> bool:
    """Whether every word of a query is a word of the text, or for scripts without spaces a part of it."""
    text = spoken.folded(text or "")
    plain = "".join(" " if words.in_spaceless_script(one) else one for one in text)
    for piece, spaceless in spoken._pieces(spoken.folded(query)):
        if piece not in (text if spaceless else set(words.runs(plain))):
            return False
    return True


def find(database: Database, search: Search) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return queries.find(connection, search)[0]


def names(found: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(one["session_id"], one["room"]) for one in found]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Database]:
    urls = [f"sqlite:///{tmp_path_factory.mktemp('queries')}/archive.db"]
    with contextlib.suppress(pytest.skip.Exception):
        urls.append(request.getfixturevalue("postgres_server").new_database("queries"))
    databases = [Database(one, ARCHIVE) for one in urls]
    for one in databases:
        one.open()
        archived(one, LINE, sizes=[50] * 100)
    return databases


SEARCHES = [
    Search(),
    Search(room=["support-1"]),
    Search(room=[""]),
    Search(room=["", "support-2"]),
    Search(room=["nowhere"]),
    Search(allowed=["support-2"]),
    Search(allowed=[]),
    Search(participant=["alice"]),
    Search(participant=["alice", "agent"], agent=["sales"]),
    Search(agent=["helper", "sales"], state=["live"]),
    Search(state=["ended"], reason=["user_initiated"]),
    Search(state=["live", "ended"]),
    Search(since=START + 1000, until=START + 5000),
    Search(since=SESSIONS[3]["session"]["started"], until=SESSIONS[3]["session"]["started"]),
    Search(failed_tools=True),
    Search(errors=True),
    Search(latency_over=2.0),
    *(Search(q=word) for word in WORDS),
    Search(q="what's yes"),
    Search(q="hello OR no"),
    Search(q='"hello'),
    Search(q="STRASSE"),
    Search(q="what"),
    Search(q="3"),
    Search(q="京"),
    Search(q="雨 hello"),
    Search(q="は明"),
    Search(q="สดี"),
    Search(q='"'),
    Search(q="NEAR(hello, 2)"),
    Search(q="hel*"),
    Search(q="words:hello"),
    Search(q="don't"),
    Search(q="don\N{RIGHT SINGLE QUOTATION MARK}t"),
    Search(q="don"),
    Search(q="' \\ : & | ! <-> %"),
]


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
def test_filters(both: list[Database], search: Search) -> None:
    wanted = [] if search.q and not spoken.asked(search.q) else slowly(search)
    for database in both:
        assert names(find(database, search)) == names(wanted)


def test_the_searches_find_something_and_leave_something_out() -> None:
    hits = [len(slowly(search)) for search in SEARCHES]
    assert sum(0 < one < len(SESSIONS) for one in hits) > 20


@pytest.mark.parametrize("sort", sorted(SORTS))
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 200])
def test_pages_join_into_the_sorted_list(
    both: list[Database], sort: str, descending: bool, limit: int
) -> None:
    wanted = slowly(Search(sort=sort, descending=descending))
    for database in both:
        got: list[dict[str, Any]] = []
        place = None
        for _ in itertools.count():
            with database.reading() as connection:
                page, place = queries.find(
                    connection, Search(sort=sort, descending=descending, limit=limit, after=place)
                )
            got += page
            assert len(page) <= limit
            if place is None:
                break
        assert names(got) == names(wanted)


def test_pages_continue_after_sessions_with_long_ids(database: Database) -> None:
    line = Line()
    wanted = sorted("\N{MUSICAL SYMBOL G CLEF}" * 10_000 + str(number) for number in range(4))
    for name in wanted:
        line.add("note", START, session_id=name)
    archived(database, line)
    got, place = [], None
    for _ in wanted:
        with database.reading() as connection:
            page, place = queries.find(connection, Search(limit=1, after=place))
        got += [one["session_id"] for one in page]
        if place is not None:
            cursor = times.make_cursor(["-heard_latency", 1e-5 / 3, place.session_id, 1 << 61])
            assert len(cursor) <= times.MAX_CURSOR
    assert [name[-1] for name in got] == ["0", "1", "2", "3"]
    assert (got == wanted, place) == (True, None)


def test_matches_show_the_first_three_utterances(database: Database) -> None:
    line = Line()
    for number in range(5):
        line.add(
            "transcript",
            START + number,
            text=f"Hello {number}",
            role="user",
            session_id="s",
            turn_id=f"t{number}",
        )
    line.add("transcript", START, text="other", role="user", session_id="s")
    archived(database, line)
    (session,) = find(database, Search(q="hello"))
    assert session["matches"] == [
        {"text": f"Hello {number}", "role": "user", "at": START + number, "turn_id": f"t{number}"}
        for number in range(3)
    ]


def test_words_of_one_utterance_and_finals_only(database: Database) -> None:
    line = Line()
    line.add("transcript", START, text="first half", role="user", session_id="s")
    line.add("transcript", START, text="second part", role="user", session_id="s")
    line.add("transcript", START, text="interim", is_final=False, segment_id="x", role="user", session_id="s")
    archived(database, line)
    assert names(find(database, Search(q="part second"))) == [("s", None)]
    assert find(database, Search(q="first part")) == find(database, Search(q="interim")) == []


def test_viewers_find_nothing_that_only_operators_see(database: Database) -> None:
    line = Line()
    for audience in ({}, {"audience": "operator"}):
        text = "secret plan" if audience else "open plan"
        line.add(
            "transcript",
            START,
            text=text,
            role="user",
            participant="boss" if audience else "alice",
            turn_id="t",
            session_id="s",
            **audience,
        )
    archived(database, line)
    assert names(find(database, Search(q="secret"))) == [("s", None)]
    assert find(database, Search(q="secret", operator=False)) == []
    (session,) = find(database, Search(q="plan", operator=False))
    assert [one["text"] for one in session["matches"]] == ["open plan"]
    with database.reading() as connection:
        detail = queries.detail(connection, queries.rows_of(connection, "s", None)[0])
    seen = views.of_detail(detail)
    assert "secret" not in repr(seen)
    assert "boss" not in repr(seen)
    assert seen["turns"][0]["user_text"] == "open plan"
    assert [one["text"] for one in seen["transcript"]] == ["open plan"]


def test_long_utterances_and_long_words(database: Database) -> None:
    line = Line()
    line.add("transcript", START, text="x" * 60_000 + " end", role="user", session_id="s")
    line.add("transcript", START, text="漢" * 20_000, role="user", session_id="t")
    archived(database, line)
    assert names(find(database, Search(q="end"))) == [("s", None)]
    assert names(find(database, Search(q="漢漢"))) == [("t", None)]


def test_any_text_and_any_query(both: list[Database]) -> None:
    rng = random.Random(5)
    characters = "ab'\"\\*&|!():<>- _.,3漢字カなสี்é\u0301\u200d😀%\t"
    for _ in range(150):
        query = "".join(rng.choices(characters, k=rng.randint(1, 8)))
        results = [names(find(database, Search(q=query))) for database in both]
        assert all(one == results[0] for one in results), query
