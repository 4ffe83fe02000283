"""This project's clients do in every case what docs/reference/conformance.md says: what they should."""

from __future__ import annotations

import pytest

from tests.packages.node import node
from tools.conformance.cases import CONNECTION, PARSER, Case
from tools.conformance.make_table import DOCUMENT, own
from tools.conformance.run import passes

CASES = (*PARSER, *CONNECTION)


@pytest.mark.faults
@pytest.mark.parametrize("name", list(own()))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_does_what_it_should(name: str, case: Case) -> None:
    if name == "`openStream`":
        node()
    assert passes(own()[name], case)


def test_the_document_has_every_case_and_no_gap_of_ours() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text(encoding="utf-8").splitlines()]
    found = {row[0]: row[1:4] for row in rows if len(row) > 4}
    for case in CASES:
        assert found[case.name] == ["yes"] * 3, case.name
