"""The WSGI server on real sockets, in a Python that is patched as the server's is."""

from __future__ import annotations

import inspect

import pytest

from tests.streaming_hub.server import running
from tests.streaming_hub.stream import child

HELPERS = {"until", "handlers"}
SCENARIOS = [
    name
    for name, function in inspect.getmembers(running, inspect.isfunction)
    if function.__module__ == running.__name__ and name not in HELPERS
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_server(scenario: str) -> None:
    child.run("tests.streaming_hub.server.running", scenario)


def test_all_scenarios_are_there() -> None:
    assert len(SCENARIOS) == 8
