"""A process's clock, set back and forth by libfaketime; the monotonic clock stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

LIBRARIES = (
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib").glob("faketime/libfaketimeMT.so.1"),
)


class FakeTime:
    """The clock of processes that are started with `environment`.

    Args:
        folder: where the file is that holds the difference.
    """

    def __init__(self, folder: Path) -> None:
        if not LIBRARIES:
            pytest.skip("faketime is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "time"
        self.step(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def step(self, seconds: float) -> None:
        """Set the clock: this machine's, and seconds more or fewer."""
        # Whole at any moment: it is read with every look at the clock.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+g}\n")
        new.replace(self._file)
