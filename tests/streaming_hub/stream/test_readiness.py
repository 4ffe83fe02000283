"""Both ways of watching sockets, in a Python that is patched as the server's is."""

from __future__ import annotations

import inspect

import pytest

from tests.streaming_hub.stream import child, watching

SCENARIOS = [
    name
    for name, function in inspect.getmembers(watching, inspect.isfunction)
    if function.__module__ == watching.__name__ and name not in {"both", "told"}
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_readiness(scenario: str) -> None:
    child.run("tests.streaming_hub.stream.watching", scenario)


def test_all_scenarios_are_there() -> None:
    assert len(SCENARIOS) == 6
