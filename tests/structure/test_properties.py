"""Property tests try the same examples in every default run, whatever else the process has loaded."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SEARCHING = not settings.default.derandomize


def drawn() -> list[str]:
    """Return the examples of a property, in order."""
    texts: list[str] = []

    @given(st.text())
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    return texts


@pytest.mark.skipif(SEARCHING, reason="-m search draws other examples every time")
def test_a_module_that_is_loaded_in_between_changes_no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn()
    constants = [f"a constant {number}" for number in range(500)]
    # Hypothesis passes over files whose path says that they are tests, as that of `tmp_path` does.
    with tempfile.TemporaryDirectory(prefix="hub") as folder:
        module = Path(folder, "with_constants.py")
        module.write_text(f"CONSTANTS = {constants!r}\n")
        spec = importlib.util.spec_from_file_location("with_constants", module)
        assert spec is not None
        monkeypatch.setitem(sys.modules, "with_constants", importlib.util.module_from_spec(spec))
        assert drawn() == before


@pytest.mark.skipif(SEARCHING, reason="-m search keeps what failed")
def test_no_example_of_an_earlier_run_is_tried() -> None:
    assert settings.default.database is None
