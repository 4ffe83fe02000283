"""Counts of durations."""

from __future__ import annotations

from streaming_hub.stream.latency import BOUNDS, Latency


def test_buckets_count_all_that_is_as_short_or_shorter() -> None:
    latency = Latency()
    for seconds in (0.0, 0.0001, 0.0002, 0.3, 99.0, -1.0):
        latency.observe(seconds)
    buckets = dict(latency.buckets())
    assert buckets["0.0001"] == 3
    assert buckets["0.00025"] == 4
    assert buckets["0.25"] == 4
    assert buckets["1.0"] == 5
    assert buckets["+Inf"] == 6
    assert len(buckets) == len(BOUNDS) + 1
    assert abs(latency.total - 99.3003) < 1e-9
