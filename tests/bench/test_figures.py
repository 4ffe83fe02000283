"""Medians, ratios, goals and plots."""

from __future__ import annotations

from xml.etree import ElementTree

import goals
import measure
import peers
import plot
import pytest
import report

ROUNDS = 3


def sample(factor: float) -> measure.Sample:
    times = {"count": 10, "p50": 1.0 * factor, "p90": 2.0 * factor, "p99": 3.0 * factor, "max": 4.0 * factor}
    counts = dict.fromkeys(
        ("missing", "duplicated", "reordered", "corrupt", "closed", "refused", "probe_failures"), 0
    )
    return counts | {
        "deliveries_per_s": 1000.0 * factor,
        "events_per_s": 100.0 * factor,
        "cpu_us_per_delivery": 5.0 / factor,
        "connect_s": 0.5,
        "server_cpu_share": 0.9,
        "load_cpu_share": 0.5,
        "rss_kb": {"before": 1, "idle": 2, "after": 3, "per_client": 4.0},
        "latency_ms": times,
        "answer_ms": times,
        "probe_ms": times,
    }


def results(*, ours: float, theirs: float) -> measure.Results:
    made = measure.Results()
    for turn in range(ROUNDS):
        drift = 1.0 + turn  # the machine's speed changes from round to round
        for clients in (100, 1000, 5000):
            scenario = measure.Scenario("closed", clients, 10)
            made.add(peers.PROJECT, scenario, sample(ours * drift))
            made.add(peers.NCHAN, scenario, sample(theirs * drift))
    return made


def test_spread_is_median_and_ends() -> None:
    assert measure.Spread.of([3.0, 1.0, 2.0]) == measure.Spread(2.0, 1.0, 3.0)
    assert measure.Spread.of([]) is None


def test_ratios_are_taken_within_a_round() -> None:
    """Drift from round to round does not reach the ratio."""
    judged = {goal.title: goal.judged for goal in goals.goals(results(ours=4.0, theirs=2.0))}
    assert judged["closed loop, deliveries, 100 clients"] == measure.Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize(("factor", "met"), [(1.1, True), (0.9, False)])
def test_a_goal_is_reached_or_missed(factor: float, met: bool) -> None:
    rows = {goal.title: goal for goal in goals.goals(results(ours=factor, theirs=1.0))}
    assert rows["closed loop, deliveries, 100 clients"].met is met
    assert rows["paced, p99 latency, 100 clients"].met is None


def test_pick_refuses_what_is_not_a_number() -> None:
    assert measure.pick(sample(1.0), "latency_ms.p99") == 3.0
    with pytest.raises(TypeError, match="latency_ms is not a number"):
        measure.pick(sample(1.0), "latency_ms")


def test_violations_name_the_run() -> None:
    made = results(ours=1.0, theirs=1.0)
    made.add(peers.PROJECT, measure.Scenario("paced", 100, 10), sample(1.0) | {"missing": 2})
    assert made.violations("project") == ["paced with 100 clients: missing 2"]
    assert made.violations("nchan") == []


def test_the_table_says_who_was_absent() -> None:
    made = results(ours=1.0, theirs=1.0)
    words = report.table(made, goals.goals(made), {"Mercure": "no mercure on PATH"})
    assert "absent: Mercure: no mercure on PATH" in words
    assert "not measured" in words


def test_plots_are_well_formed_and_hold_a_line_a_peer() -> None:
    drawn = dict(plot.pictures(results(ours=2.0, theirs=1.0)))
    assert set(drawn) == {"deliveries", "memory"}
    root = ElementTree.fromstring(drawn["deliveries"])
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    assert all(len((line.get("points") or "").split()) == 3 for line in lines)


def test_an_axis_grows_to_the_right_and_labels_are_short() -> None:
    axis = plot.Axis.over([10.0, 10_000.0], 100.0, 400.0)
    assert 100 < axis.at(10.0) < axis.at(100.0) < axis.at(10_000.0) < 500
    assert [plot.label(value) for value in (0.05, 5.0, 2000.0, 1e6)] == ["0.05", "5", "2k", "1M"]
