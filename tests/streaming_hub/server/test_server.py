"""The WSGI server on real sockets, in a Python that is patched as the server's is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.streaming_hub.server import running
from tests.streaming_hub.stream.child import scenarios

if TYPE_CHECKING:
    from tests.streaming_hub.stream.child import Patched

SCENES = running
SCENARIOS = scenarios(running, "until", "handlers")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_server(patched: Patched, scenario: str) -> None:
    patched.run(scenario)


def test_all_scenarios_are_there() -> None:
    assert len(SCENARIOS) == 8
