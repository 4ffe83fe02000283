"""Both ways of watching sockets, in a Python that is patched as the server's is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.streaming_hub.stream import watching
from tests.streaming_hub.stream.child import scenarios

if TYPE_CHECKING:
    from tests.streaming_hub.stream.child import Patched

SCENES = watching
SCENARIOS = scenarios(watching, "both", "told")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_readiness(patched: Patched, scenario: str) -> None:
    patched.run(scenario)


def test_all_scenarios_are_there() -> None:
    assert len(SCENARIOS) == 6
