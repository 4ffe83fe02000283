"""The writer on real sockets, in a Python that is patched as the server's is."""

from __future__ import annotations

import inspect

import pytest

from tests.streaming_hub.stream import child, writing

HELPERS = {"until", "read", "read_more", "rest", "has", "has_id"}
SCENARIOS = [
    name
    for name, function in inspect.getmembers(writing, inspect.isfunction)
    if function.__module__ == writing.__name__ and name not in HELPERS
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_writer(scenario: str) -> None:
    child.run("tests.streaming_hub.stream.writing", scenario)


def test_all_scenarios_are_there() -> None:
    assert SCENARIOS
