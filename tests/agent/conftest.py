"""Fixtures of the agent's tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.agent.rehearsals import Recorded, Rehearsals

if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the rehearsals' tests after the other tests of this folder, which run meanwhile."""
    places = [place for place, item in enumerate(items) if FOLDER in item.path.parents]
    ours = sorted(
        (items[place] for place in places), key=lambda item: item.path.name.startswith("test_rehearsal")
    )
    for place, item in zip(places, ours, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def rehearsals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsals]:
    both = Rehearsals(tmp_path_factory.mktemp("silence"))
    yield both
    both.close()


@pytest.fixture(scope="session", autouse=True)
def rehearsals_begin_early(request: pytest.FixtureRequest) -> None:
    """Start them while other tests run: they take half a minute of real time, and little of the processor's."""
    if any("silent_rehearsal" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("rehearsals")


@pytest.fixture
def rehearsal(rehearsals: Rehearsals) -> Recorded:
    return rehearsals.recorded()


@pytest.fixture
def silent_rehearsal(rehearsals: Rehearsals) -> Recorded:
    return rehearsals.silent()
