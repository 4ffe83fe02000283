"""Prometheus metrics. Values are read when scraped; between scrapes only the counters cost anything.

Names and units follow Prometheus's conventions; docs/reference/metrics.md lists them all; a test keeps
the two equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streaming_hub import __version__
from streaming_hub.agents.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from streaming_hub.stream.hub import Hub
    from streaming_hub.stream.latency import Latency

STATES: Final = tuple(state.value for state in State)


class Sources(Protocol):
    """Where the figures are read: streaming_hub.services.Services."""

    hub: Hub
    publishing: Latency
    max_clients: int
    draining: bool
    node: str

    @property
    def refusals(self) -> Mapping[int, int]:
        """Return how many requests were refused, by status."""

    @property
    def writer(self) -> Any:
        """Return the writer of the streams' sockets, which has `stats`, or None."""

    @property
    def archive(self) -> Any:
        """Return the archive, or None if it is off."""

    @property
    def uploads(self) -> Any:
        """Return what agents upload, or None where none is taken."""

    @property
    def watcher(self) -> Any:
        """Return the watcher, which has `status` and `counts`, or None where no room is watched."""

    @property
    def webhooks(self) -> Any:
        """Return the webhooks, or None where there is no archive."""

    @property
    def supervisor(self) -> Any:
        """Return the supervisor, which has a `status`."""


class HubCollector(Collector):
    """Reads one hub's figures.

    Args:
        sources: the hub's services.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without reading them."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yield every metric with its present values."""
        sources = self._sources
        yield InfoMetricFamily(
            "hub_build", "The hub's version and this node.", {"node": sources.node, "version": __version__}
        )
        away = sources.hub.history.away
        yield _gauge("hub_history_up", "1 while the history can be read and written.", int(away is None))
        yield from _clients(sources)
        yield from _events(sources.hub)
        yield _by_label("hub_refusals", "Refused requests.", "status", sources.refusals)
        yield _histogram(
            "hub_publish_duration_seconds",
            "From an accepted publishing request to its response, without the network.",
            sources.publishing,
        )
        yield _histogram(
            "hub_delivery_duration_seconds",
            "From storing an event to sending it to the last client that keeps up; one observation per sweep.",
            sources.hub.delivery,
        )
        yield from _history(sources.hub)
        if sources.archive is not None:
            yield from _archive(sources.archive)
        if sources.uploads is not None:
            yield from _uploads(sources.uploads)
        if sources.webhooks is not None:
            yield from _webhooks(sources.webhooks)
        yield from _agent(sources.supervisor)
        if sources.watcher is not None:
            yield from _watcher(sources.watcher)
        yield _gauge("hub_draining", "1 while the server is stopping.", int(sources.draining))


class Metrics:
    """The hub's metrics and those of its process.

    Args:
        sources: the hub's services.
    """

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(HubCollector(sources))
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text, and its content type.

        Args:
            accept: the request's Accept header: OpenMetrics, or Prometheus's older format.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _clients(sources: Sources) -> Iterable[Metric]:
    subscribers = sources.hub.subscribers()
    yield _gauge("hub_clients", "Open streams.", len(subscribers))
    yield _gauge("hub_clients_limit", "How many streams may be open.", sources.max_clients)
    yield _gauge(
        "hub_clients_behind",
        "Open streams that read from the history, because they are new or slow.",
        sum(not subscriber.live for subscriber in subscribers),
    )
    yield _gauge(
        "hub_queue_events", "Events waiting for clients, all queues.", sum(s.waiting for s in subscribers)
    )
    yield _gauge(
        "hub_queue_bytes",
        "Bytes waiting for clients, all queues.",
        sum(s.waiting_bytes for s in subscribers),
    )
    stats = sources.writer.stats if sources.writer is not None else None
    ends = {"hung_up": stats.hung_up, "stalled": stats.stalled} if stats is not None else {}
    yield _counter("hub_streams_opened", "Opened streams.", stats.opened if stats is not None else 0)
    yield _by_label(
        "hub_streams_ended",
        "Ended streams: the client disconnected, or read nothing for too long.",
        "reason",
        ends,
    )


def _events(hub: Hub) -> Iterable[Metric]:
    counters = hub.counters
    yield _by_label("hub_events", "Stored events.", "type", counters.events)
    yield _counter(
        "hub_events_duplicate", "Repeated events, which were not stored again.", counters.duplicates
    )
    yield _counter("hub_deliveries", "Events given to clients.", counters.deliveries)
    yield _counter(
        "hub_queue_drops",
        "Full queues that were dropped; their clients continue from the history.",
        counters.drops,
    )
    yield _counter("hub_stream_resets", "Cursors that could not be honoured.", counters.resets)


def _history(hub: Hub) -> Iterable[Metric]:
    bounds = hub.history.bounds
    yield _gauge("hub_history_head", "The last assigned sequence number.", bounds.head)
    yield _gauge("hub_history_oldest", "The first stored sequence number.", bounds.oldest)


def _archive(archive: Any) -> Iterable[Metric]:
    yield _gauge(
        "hub_archive_up", "1 while the archive's database can be written.", int(archive.state == "ok")
    )
    yield _gauge("hub_archive_behind", "Events not archived yet.", archive.behind)
    yield _counter("hub_archive_events", "Archived events.", archive.written)
    yield _counter(
        "hub_archive_events_missed",
        "Events that expired before they were archived.",
        archive.skipped,
    )
    outcomes = CounterMetricFamily(
        "hub_upload_items",
        "Spans and log lines uploaded by agents, by outcome.",
        labels=["outcome"],
    )
    for outcome, count in sorted(archive.uploaded.items()):
        outcomes.add_metric([outcome], count)
    yield outcomes
    yield _counter(
        "hub_reconciliation_missing",
        "Messages of LiveKit's chat histories that the transcripts lack.",
        archive.reconciliation_missing,
    )
    yield _counter("hub_archive_restarts", "How often the archive's process was restarted.", archive.restarts)


def _uploads(spool: Any) -> Iterable[Metric]:
    uploads = CounterMetricFamily(
        "hub_uploads", "Uploads of agents, by kind and by what became of them.", labels=["kind", "outcome"]
    )
    for (kind, outcome), count in sorted(spool.counts.items()):
        uploads.add_metric([kind, outcome], count)
    yield uploads
    yield _gauge("hub_uploads_waiting", "Uploads that wait to be archived.", len(spool.waiting()))


def _webhooks(webhooks: Any) -> Iterable[Metric]:
    status = webhooks.status
    counts = status.get("counts", {})
    yield _gauge(
        "hub_webhooks_up", "1 while the webhooks' database can be written.", int(webhooks.state == "ok")
    )
    yield _gauge("hub_webhooks_behind", "Events that wait to be read for webhooks.", webhooks.behind)
    endpoints = GaugeMetricFamily("hub_webhooks_endpoints", "Endpoints of webhooks.", labels=["state"])
    for state in ("working", "failing", "disabled"):
        endpoints.add_metric([state], status.get("endpoints", {}).get(state, 0))
    yield endpoints
    yield _gauge("hub_webhooks_pending", "Pending deliveries.", status.get("pending", 0))
    yield _gauge("hub_webhooks_pending_bytes", "Their bytes.", status.get("pending_bytes", 0))
    yield _counter("hub_webhooks_attempts", "Requests that were sent.", counts.get("attempts", 0))
    results = {name: counts.get(name, 0) for name in ("delivered", "failed")}
    yield _by_label("hub_webhooks_deliveries", "Deliveries that came to an end.", "result", results)
    yield _counter(
        "hub_webhooks_events_missed", "Events that endpoints did not get.", status.get("missed", 0)
    )
    yield _counter(
        "hub_webhooks_restarts", "How often the webhooks' process had to be started again.", webhooks.restarts
    )


def _agent(agent: Any) -> Iterable[Metric]:
    status = agent.status()
    states = {state: state == status.state.value for state in STATES}
    yield StateSetMetricFamily("hub_agent_state", "The state of the agent process.", states)
    yield _gauge("hub_agent_sessions", "Sessions that the agent process reports.", status.sessions)
    yield _gauge("hub_agent_restarts", "Automatic restarts since an operator started it.", status.restarts)
    yield _gauge("hub_agent_uptime_seconds", "Age of the agent process; 0 when there is none.", status.uptime)


def _watcher(watcher: Any) -> Iterable[Metric]:
    status, counts = watcher.status(), watcher.counts
    alive = status.pid is not None
    yield _gauge("hub_watcher_up", "1 while this node runs the watcher process.", int(alive))
    yield _gauge("hub_watcher_rooms", "Rooms that the watcher is in.", counts.get("rooms", 0) if alive else 0)
    yield _gauge("hub_watcher_sessions", "Live sessions that it reports.", status.sessions)
    yield _gauge("hub_watcher_restarts", "How often it was restarted.", status.restarts)
    yield _counter(
        "hub_watcher_unknown",
        "Parts of LiveKit's session messages that it does not know, since its start.",
        counts.get("unknown", 0),
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)


def _by_label(name: str, text: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([str(key)], value)
    return family


def _histogram(name: str, text: str, latency: Latency) -> Metric:
    return HistogramMetricFamily(name, text, buckets=latency.buckets(), sum_value=latency.total)
