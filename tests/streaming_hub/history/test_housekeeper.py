"""The housekeeper: trims in small steps, maintains the store in between, and stops on request."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from flask_server import create_app
from streaming_hub.history import housekeeper
from streaming_hub.history.housekeeper import Housekeeper
from streaming_hub.settings import Settings
from streaming_hub.web.current import services_of

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 30.0


class FakeHub:
    """A hub whose history has `steps` steps of trimming to do."""

    def __init__(self, steps: int) -> None:
        self.lock = threading.RLock()
        self.history = self
        self.left = steps
        self.locked: list[bool] = []
        self.checkpoints = threading.Semaphore(0)
        self.clock = lambda: 1234.5

    def trim(self, now: float) -> bool:
        assert now == 1234.5
        self.locked.append(held_here(self.lock))
        self.left -= 1
        return self.left > 0

    def checkpoint(self) -> None:
        self.checkpoints.release()


def held_here(lock: Any) -> bool:
    owned: bool = lock._is_owned()
    return owned


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeper, "PAUSE", 0.001)
    monkeypatch.setattr(housekeeper, "STEP_PAUSE", 0.001)


def keep(hub: FakeHub) -> Housekeeper:
    fake: Any = hub
    return Housekeeper(fake.history, fake.lock, fake.clock)


def test_all_steps_are_done_under_the_lock_then_the_store_is_looked_after() -> None:
    hub = FakeHub(steps=5)
    keeper = keep(hub)
    keeper.start()
    assert hub.checkpoints.acquire(timeout=SECONDS)
    keeper.stop()
    assert hub.left <= 0
    assert hub.locked[:5] == [True] * 5


def test_endless_publishing_does_not_keep_the_store_from_its_upkeep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeper, "STEPS", 3)
    hub = FakeHub(steps=1_000_000)
    keeper = keep(hub)
    keeper.start()
    for _ in range(3):
        assert hub.checkpoints.acquire(timeout=SECONDS)
    keeper.stop()
    assert hub.left > 0


def test_the_store_is_looked_after_where_the_caller_says() -> None:
    hub = FakeHub(steps=1)
    keeper = keep(hub)
    ran = threading.Event()

    def elsewhere(function: Callable[[], None]) -> None:
        assert not held_here(hub.lock)
        function()
        ran.set()

    keeper.start(elsewhere)
    assert ran.wait(SECONDS)
    keeper.stop()


def test_stop_waits_and_a_second_start_begins_no_second_thread() -> None:
    hub = FakeHub(steps=1)
    keeper = keep(hub)
    keeper.start()
    thread = keeper._thread
    keeper.start()
    assert keeper._thread is thread
    keeper.stop()
    assert thread is not None
    assert not thread.is_alive()


def test_stop_before_start_is_harmless() -> None:
    keep(FakeHub(steps=1)).stop()


@pytest.mark.parametrize("step", ["trim", "checkpoint"])
def test_a_round_that_fails_is_followed_by_the_next(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(steps=1)
    failed = threading.Event()
    honest = getattr(hub, step)

    def fail_once(*arguments: float) -> object:
        if not failed.is_set():
            failed.set()
            raise OSError("made to fail")
        return honest(*arguments)

    monkeypatch.setattr(hub, step, fail_once)
    keeper = keep(hub)
    keeper.start()
    assert hub.checkpoints.acquire(timeout=SECONDS)
    assert failed.is_set()
    keeper.stop()


def test_any_wsgi_server_gets_a_housekeeper_with_its_first_request() -> None:
    app = create_app(Settings(history="memory://"))
    parts = services_of(app)
    assert parts.housekeeper._thread is None
    app.test_client().get("/api/health")
    assert parts.housekeeper._thread is not None
    assert parts.housekeeper._thread.is_alive()
    parts.stop()
