"""The writer on real sockets, in a Python that is patched as the server's is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.streaming_hub.stream import writing
from tests.streaming_hub.stream.child import scenarios

if TYPE_CHECKING:
    from tests.streaming_hub.stream.child import Patched

SCENES = writing
SCENARIOS = scenarios(writing, "until", "read", "read_more", "rest", "has", "has_id")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_writer(patched: Patched, scenario: str) -> None:
    patched.run(scenario)


def test_all_scenarios_are_there() -> None:
    assert SCENARIOS
