"""Fixtures of the agent's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.agent.rehearsals import Recorded, Rehearsals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def rehearsals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsals]:
    both = Rehearsals(tmp_path_factory.mktemp("silence"))
    yield both
    both.close()


@pytest.fixture
def rehearsal(rehearsals: Rehearsals) -> Recorded:
    return rehearsals.recorded()


@pytest.fixture
def silent_rehearsal(rehearsals: Rehearsals) -> Recorded:
    return rehearsals.silent()
