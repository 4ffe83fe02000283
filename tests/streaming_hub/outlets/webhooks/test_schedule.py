"""How many requests run at a time, and for whom."""

from __future__ import annotations

from streaming_hub.outlets.webhooks.schedule import PER_ENDPOINT, Schedule, Standing


def test_an_endpoint_has_sixteen() -> None:
    schedule = Schedule(100)
    assert schedule.free("a") == PER_ENDPOINT
    for number in range(PER_ENDPOINT):
        schedule.begin("a", str(number))
    assert (schedule.free("a"), schedule.free("b")) == (0, PER_ENDPOINT)
    schedule.end("a", "3")
    assert (schedule.free("a"), "3" in schedule.busy("a")) == (1, False)


def test_those_that_fail_share_half_and_wait_for_each_other() -> None:
    schedule = Schedule(20)
    schedule.note("dead", Standing.FAILING)
    schedule.note("gone", Standing.FAILING)
    schedule.note("living", Standing.WORKING)
    for number in range(10):
        assert schedule.free("dead") > 0
        schedule.begin("dead", str(number))
    assert (schedule.free("dead"), schedule.free("gone"), schedule.free("living")) == (0, 0, 10)
    # One request is left: one of those that wait for it is woken.
    assert schedule.end("dead", "0") == ["dead"]
    assert schedule.free("gone") == 1
    # It did not need it, so there are two.
    assert schedule.free("living") == 11
    schedule.begin("living", "x")
    assert schedule.end("living", "x") == ["gone"]
    schedule.note("dead", Standing.WORKING)
    assert schedule.free("gone") == 10


def test_new_ones_share_that_half_until_they_have_worked_once() -> None:
    schedule = Schedule(8)
    schedule.note("dead", Standing.FAILING)
    schedule.begin("dead", "x")
    for number in range(3):
        assert schedule.free("new") > 0
        schedule.begin("new", str(number))
    assert (schedule.free("new"), schedule.free("dead")) == (0, 0)
    schedule.note("new", Standing.WORKING)
    # Its three requests no longer count among the half.
    assert (schedule.free("new"), schedule.free("dead")) == (4, 3)
    schedule.note("new", Standing.UNPROVEN)
    assert schedule.free("new") == 0


def test_nothing_that_waits_is_forgotten() -> None:
    schedule = Schedule(4)
    schedule.note("a", Standing.WORKING)
    for number in range(4):
        schedule.begin("a", str(number))
    waiting = [f"w{number}" for number in range(5)]
    assert [schedule.free(name) for name in waiting] == [0] * 5
    schedule.note("w0", Standing.FAILING)
    woken: list[str] = []
    for number in range(4):
        woken += schedule.end("a", str(number))
    assert sorted(woken) == waiting


def test_all_together_are_bounded() -> None:
    schedule = Schedule(4)
    for name in ("a", "b"):
        schedule.note(name, Standing.WORKING)
    for number in range(4):
        schedule.begin("a", str(number))
    assert schedule.free("b") == 0
    assert schedule.end("a", "0") == ["b"]
    assert schedule.free("b") == 1
