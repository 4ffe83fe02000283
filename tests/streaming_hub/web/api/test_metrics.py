"""The metrics for Prometheus, compared with docs/reference/metrics.md.

Covers streaming_hub.metrics, too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from streaming_hub.stream.counters import MAX_TYPES, OTHER_TYPES
from streaming_hub.stream.writer import Stats
from streaming_hub.web.current import services_of
from tests.kit.callers import ask, hub
from tests.kit.sse import read

if TYPE_CHECKING:
    from flask import Flask

DOCUMENT = Path(__file__).parents[4] / "docs" / "reference" / "metrics.md"


class IdleWriter:
    """Who would send to sockets."""

    def __init__(self) -> None:
        self.stats = Stats(opened=3, hung_up=2, stalled=1)


def scrape(app: Flask) -> dict[str, float]:
    """All samples, as `name{label=value}`."""
    text = ask(app, "GET", "/metrics").text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_what_was_done_is_counted() -> None:
    app = hub()
    services_of(app).writer = IdleWriter()  # type: ignore[assignment] # its figures are all that is looked at
    stream = ask(app, "GET", "/api/stream")
    assert next(read(stream))["type"] == "connected"
    for body in (
        {"type": "a", "event_id": "1"},
        {"type": "a", "event_id": "1"},
        [{"type": "b"}, {"type": "a"}],
    ):
        assert ask(app, "POST", "/api/agent/data", json=body).status_code == 200
    ask(app, "POST", "/api/agent/data", json={"type": 1})
    ask(app, "GET", "/api/stream?last_event_id=nonsense").close()
    found = scrape(app)
    stream.close()
    assert found["hub_events_total{type=a}"] == 2
    assert found["hub_events_total{type=b}"] == 1
    assert found["hub_events_duplicate_total"] == 1
    assert found["hub_refusals_total{status=422}"] == 1
    assert found["hub_stream_resets_total"] == 1
    assert found["hub_clients"] == 1
    assert found["hub_clients_behind"] == 1
    assert found["hub_publish_duration_seconds_count"] == 3
    assert found["hub_publish_duration_seconds_bucket{le=+Inf}"] == 3
    assert 0 < found["hub_publish_duration_seconds_sum"] < 10
    assert found["hub_history_head"] == 3
    assert found["hub_history_oldest"] == 1
    assert found["hub_agent_state{hub_agent_state=stopped}"] == 1
    assert found["hub_agent_state{hub_agent_state=running}"] == 0
    assert found["hub_agent_restarts"] == 0
    assert found["hub_streams_opened_total"] == 3
    assert found["hub_streams_ended_total{reason=hung_up}"] == 2
    assert found["hub_streams_ended_total{reason=stalled}"] == 1
    assert found["hub_draining"] == 0
    assert found["process_open_fds"] > 0


def test_clients_that_keep_up_are_delivered_to_and_slow_ones_are_seen() -> None:
    app = hub(queue_size=4)
    stream = ask(app, "GET", "/api/stream")
    frames = read(stream)
    assert next(frames)["type"] == "connected"
    ask(app, "POST", "/api/agent/data", json={"type": "a"})
    # Reading it makes the client live.
    assert next(frames)["type"] == "a"
    hub_ = services_of(app).hub
    subscriber = hub_.subscribers()[0]
    while not subscriber.live:
        hub_.pull(subscriber)
    ask(app, "POST", "/api/agent/data", json=[{"type": "a"}] * 3)
    found = scrape(app)
    assert found["hub_clients_behind"] == 0
    assert found["hub_queue_events"] == 3
    assert found["hub_queue_bytes"] > 100
    assert found["hub_deliveries_total"] == 4
    assert found["hub_delivery_duration_seconds_count"] == 1
    ask(app, "POST", "/api/agent/data", json=[{"type": "a"}] * 3)
    found = scrape(app)
    assert found["hub_queue_drops_total"] == 1
    assert found["hub_clients_behind"] == 1
    assert found["hub_queue_events"] == 0
    stream.close()


def test_invented_types_do_not_grow_memory_without_bound() -> None:
    app = hub()
    batch = [{"type": f"t{number}"} for number in range(MAX_TYPES + 50)]
    assert ask(app, "POST", "/api/agent/data", json=batch).status_code == 200
    found = {name: value for name, value in scrape(app).items() if name.startswith("hub_events_total")}
    assert found[f"hub_events_total{{type={OTHER_TYPES}}}"] == 50
    assert len(found) == MAX_TYPES + 1


def test_open_metrics_is_spoken_to_those_who_ask_for_it() -> None:
    app = hub()
    answer = ask(app, "GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.mimetype == "application/openmetrics-text"
    assert answer.text.endswith("# EOF\n")
    assert ask(app, "GET", "/metrics").mimetype == "text/plain"


def test_the_document_lists_every_metric_and_no_other(tmp_path: Path) -> None:
    livekit = {"livekit_url": "ws://localhost", "livekit_api_key": "devkey", "livekit_api_secret": "s" * 32}
    parts = services_of(hub(archive=f"sqlite:///{tmp_path}/not-started.db", watch=("*",), **livekit))
    parts.writer = IdleWriter()  # type: ignore[assignment] # its figures are all that is looked at
    text = parts.metrics.render("")[0].decode()
    told = {
        (name, kind)
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
        if name.startswith("hub_")
    }
    listed = set(
        re.findall(r"^\| `(hub_\w+)` \| (\w+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == told
    for name, kind in told:
        assert name.endswith("_total") == (kind == "counter"), name
