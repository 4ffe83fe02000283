"""The measurement of docs/reference/conformance.md tells good clients from bad ones; this project's are good."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import browser  # noqa: F401
from tests.packages.node import node
from tools.conformance.cases import CASES, Case
from tools.conformance.clients import Program
from tools.conformance.make_table import AT_ONCE, DOCUMENT, own_page, own_programs
from tools.conformance.measure import measure

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tools.conformance.clients import Client

ONCE = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    for line in answer:
        if line.startswith(b"data: "):
            print(line[6:].decode().strip(), flush=True)
"""
"""A client that does not reconnect, and takes every line by itself."""
OWN = ["`follow`", "`afollow`", "`openStream` (Node)", "`openStream` (Chromium)"]


def failed(client: Client, *cases: Case) -> list[str]:
    passed = measure([(client, case) for case in cases], AT_ONCE)
    return [case.name for case, yes in zip(cases, passed, strict=True) if not yes]


@pytest.mark.faults
@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", list(own_programs()))
def test_this_projects_client_does_what_it_should(name: str) -> None:
    if "Node" in name:
        node()
    assert failed(own_programs()[name], *CASES) == []


@pytest.mark.page
@pytest.mark.timeout(480)
def test_in_a_page_it_does_what_it_should(browser: Browser) -> None:  # noqa: F811
    (client,) = own_page(browser).values()
    assert failed(client, *CASES) == []


def test_a_client_that_reads_one_connection_fails_where_it_should() -> None:
    wanted = {
        "comments and unknown fields": True,
        "LF, CR and CRLF end lines": False,
        "the stream ends": False,
        "says where it was": False,
    }
    cases = [case for case in CASES if case.name in wanted]
    bad = Program([sys.executable, "-c", ONCE])
    assert failed(bad, *cases) == [case.name for case in cases if not wanted[case.name]]


def test_every_case_has_a_row_and_a_line_in_the_document_and_no_gap_of_ours() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert rows[0][:4] == OWN
    found = {row[0]: row[1:] for row in rows}
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert set(found[case.name]) <= {"yes", "no"}
        assert found[case.name][:4] == ["yes"] * 4, case.name
        assert f"- **{case.name}**: {case.about}\n" in text
