"""The server's time, as far as a measurement over a network can tell it."""

from __future__ import annotations

import time

import pytest

from streaming_hub.cluster.clock import HubClock


class Monotonic:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_this_machines_until_it_is_measured() -> None:
    assert HubClock()() == pytest.approx(time.time(), abs=60)


def test_it_is_the_servers_and_passes_by_itself() -> None:
    monotonic = Monotonic()
    clock = HubClock(monotonic)
    clock.measured(5000.0, asked=99.9, answered=100.1)
    assert clock() == pytest.approx(5000.0)
    monotonic.now += 7
    assert clock() == pytest.approx(5007.0)


def test_what_the_network_explains_moves_nothing_and_a_step_is_followed() -> None:
    monotonic = Monotonic()
    clock = HubClock(monotonic)
    clock.measured(5000.0, asked=100.0, answered=100.0)
    clock.measured(5000.4, asked=100.0, answered=101.0)
    assert clock() == pytest.approx(5000.0)
    clock.measured(8600.0, asked=100.0, answered=100.2)
    assert clock() == pytest.approx(8599.8, abs=0.21)
    clock.measured(5000.0, asked=100.0, answered=100.0)
    assert clock() == pytest.approx(5000.0)
