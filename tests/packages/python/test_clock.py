"""The clock that counts on during sleep: the system's own, by whatever name it has there."""

from __future__ import annotations

import importlib
import time

import pytest
from streaming_hub_client import clock


@pytest.mark.parametrize("gone", [(), ("CLOCK_BOOTTIME",), ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")])
def test_it_is_the_best_that_the_system_has(monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]) -> None:
    for name in gone:
        monkeypatch.delattr(time, name, raising=False)
    asked: list[object] = []
    monkeypatch.setattr(time, "clock_gettime", lambda which: asked.append(which) or 5.0, raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: asked.append("monotonic") or 5.0)
    try:
        assert importlib.reload(clock).seconds() == 5.0
    finally:
        monkeypatch.undo()
        importlib.reload(clock)
    names = ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")
    left = [getattr(time, name) for name in names if hasattr(time, name) and name not in gone]
    assert asked == [left[0] if left else "monotonic"]


def test_it_moves() -> None:
    began = clock.seconds()
    time.sleep(0.01)
    assert clock.seconds() > began
