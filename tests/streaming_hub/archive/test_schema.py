"""docs/reference/archive.md and the dashboards, compared with the tables: every column is described, every query runs.

Covers

    streaming_hub.archive.tables
"""

from __future__ import annotations

import json
import random
import re
import time
from typing import TYPE_CHECKING

import pytest

from streaming_hub.archive import tables
from streaming_hub.archive.messages import Asked, Search
from streaming_hub.archive.queries import find
from streaming_hub.archive.stats import buckets
from streaming_hub.metrics import HubCollector
from streaming_hub.settings import Settings
from tests.streaming_hub.archive.calls import START, Line, archived, call, some_calls
from tests.structure.sources import ROOT

if TYPE_CHECKING:
    from streaming_hub.sidecar.database import Database

DOCUMENT = (ROOT / "docs" / "reference" / "archive.md").read_text(encoding="utf-8")
PUBLIC = [table for table in tables.metadata.sorted_tables if not table.name.startswith("archive_")]
QUERIES = re.findall(
    r"```sql\n(SELECT.*?)```", DOCUMENT.partition("## Ready-made queries")[2].partition("\n## ")[0], re.DOTALL
)
DASHBOARD = json.loads((ROOT / "docs" / "dashboards" / "grafana-postgres.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", PUBLIC, ids=lambda table: table.name)
def test_every_column_is_described_and_no_other(table: object) -> None:
    name, columns = table.name, {column.name for column in table.c}  # type: ignore[attr-defined]
    section = DOCUMENT.partition(f"\n### {name}\n")[2].partition("\n##")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    described = [column for row in rows for column in re.findall(r"`(\w+)`", row)]
    assert sorted(described) == sorted(columns)


def test_every_public_table_may_be_read_by_the_reader_role() -> None:
    granted = re.search(r"GRANT SELECT ON (.*?) TO", DOCUMENT)
    assert granted is not None
    # Raw events may hold what the other tables leave out.
    assert set(granted[1].split(", ")) == {table.name for table in PUBLIC} - {"recordings"}


@pytest.mark.parametrize("query", QUERIES)
def test_the_queries_run_and_find_something(database: Database, query: str) -> None:
    line = some_calls(3, 20, live=0)
    ago = time.time() - START - 86_400
    for event in line.events:
        event["timestamp"] += ago
        for name in ("started_at", "stopped_at"):
            if name in event:
                event[name] += ago
        if event["type"] == "session_ended" and event["session_id"] == "s3":
            event["reason"] = "error"
    archived(database, line)
    if not database.sqlite:
        query = query.replace("unixepoch()", "extract(epoch from now())")
    with database.reading() as connection:
        assert connection.exec_driver_sql(query.replace("%", "%%")).all()


def test_the_queries_and_the_api_agree(database: Database) -> None:
    line = Line()
    rng = random.Random(4)
    for number in range(40):
        # Of three days, in the afternoon, too.
        call(
            line,
            rng,
            f"s{number}",
            "a",
            START + number * 6480,
            turns=5,
            ends=number % 4 > 0 or number % 5 == 1,
        )
        if number % 5 == 1:
            line.events[-1]["reason"] = "replaced"
    archived(database, line)
    with database.reading() as connection:
        everything, _ = find(connection, Search(limit=200))
        agents, tools, days = (
            [row._mapping for row in connection.exec_driver_sql(query.replace("%", "%%"))]
            for query in QUERIES[1:4]
        )
    assert len(everything) == 32
    for row in agents:
        mine = [one for one in everything if one["agent"] == row["agent"]]
        rate = 100 * sum(one["interruptions"] for one in mine) / sum(one["turns"] for one in mine)
        assert (row["sessions"], float(row["per_100_turns"])) == (len(mine), pytest.approx(rate))
    assert sum(row["calls"] for row in tools) == sum(one["tool_calls"] for one in everything)
    assert sum(row["failures"] for row in tools) == sum(one["tool_failures"] for one in everything)
    asked = Asked(since=START, until=START + 3 * 86_400, bucket="day")
    for row, bucket in zip(days, buckets(database, asked, START), strict=True):
        assert (row["day"], row["sessions"]) == (bucket["start"], bucket["sessions"])
        assert row["minutes"] == pytest.approx(bucket["minutes"])


def test_how_long_an_outage_is_survived_follows_from_the_default_window() -> None:
    said = r"window of ([\d,]+) events, (\d+) minutes at (\d+) events/s, and (\d+) hours"
    found = re.search(said, " ".join(DOCUMENT.split()))
    assert found is not None
    window, minutes, rate, hours = (int(one.replace(",", "")) for one in found.groups())
    default = Settings()
    assert (window, hours * 3600) == (default.history_max_events, default.history_max_age)
    assert minutes == window // rate // 60
    # At 1 event/s and less, the age is reached first.
    assert hours * 3600 <= window


def test_there_are_queries() -> None:
    assert len(QUERIES) == 5


def test_the_dashboards_queries_run(postgres_server: object) -> None:
    from streaming_hub.archive.tables import ARCHIVE
    from streaming_hub.sidecar.database import Database

    database = Database(postgres_server.new_database("dashboard"), ARCHIVE)  # type: ignore[attr-defined]
    database.open()
    line = some_calls(3, 20, live=2)
    for number, reason in (("s7", "replaced"), ("s8", None)):
        (end,) = (one for one in line.events if (one["type"], one["session_id"]) == ("session_ended", number))
        end["reason"] = reason
    archived(database, line)
    found = {}
    for panel in DASHBOARD["panels"]:
        (target,) = panel["targets"]
        sql = target["rawSql"].replace("$__unixEpochFrom()", "0").replace("$__unixEpochTo()", "1e11")
        with database.reading() as connection:
            found[panel["title"]] = [row._mapping for row in connection.exec_driver_sql(sql)]
    assert all(found.values())
    assert len(found) == 8
    assert sum(row["sessions"] for row in found["Sessions by the hour"]) == 19
    ends = {row["reason"]: row["sessions"] for row in found["Why sessions ended"]}
    assert (ends["live"], ends["unknown"], sum(ends.values())) == (2, 1, 19)
    assert "s7" not in {row["session_id"] for row in found["Slowest turns"]}
    database.close()


def test_the_metrics_dashboard_asks_for_metrics_that_there_are() -> None:
    from flask_server import create_app
    from streaming_hub.web.current import services_of

    dashboard = json.loads(
        (ROOT / "docs" / "dashboards" / "grafana-metrics.json").read_text(encoding="utf-8")
    )
    asked = set(
        re.findall(r"hub_\w+", " ".join(t["expr"] for p in dashboard["panels"] for t in p["targets"]))
    )
    parts = services_of(create_app(Settings(history="memory://", archive="sqlite:///unused.db")))
    there = {
        name
        for metric in HubCollector(parts).collect()
        for name in (metric.name, f"{metric.name}_total", f"{metric.name}_bucket")
    }
    assert asked - there == set()
    parts.stop()
