"""What taking the uploads of LiveKit's agents costs the hub: `uv run python -m bench.upload_figures [--part NAME]`.

    memory    resident memory of the hub after 100 calls' uploads, less that of a hub that refuses them
    busy      how soon a batch of spans or log lines is answered while 100 sessions upload
    audio     paired runs: how late events arrive while an hour's audio (50 MB) is uploaded, and while nothing is

The uploads are recorded ones of a real agent (tests/uploads), each under a job's name of its own. Prints one line of
JSON for each figure. Run it on a quiet machine: whatever else runs is in the figures.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Final

import requests

from bench.archive_figures import ROOT, Hub, arrivals, post, quantile, resident, tell
from tests.uploads import replay

if TYPE_CHECKING:
    from collections.abc import Iterator

ME: Final = (sys.executable, "-m", "bench.upload_figures")
PARTS: Final = ("memory", "busy", "audio")
CALLS: Final = 100
LOG_SECONDS: Final = 1.0
TRACE_SECONDS: Final = 5.0
"""How often LiveKit's SDK sends a batch of either."""
AUDIO_BYTES: Final = 50 * 1024 * 1024
JOB: Final = b"AJ_"


def renamed(one: replay.Upload, number: int) -> bytes:
    """Return an upload's body with a job's name of its own, of the same length."""
    packed = one.encoding == "gzip"
    body = gzip.decompress(one.body) if packed else one.body
    name = job_of(one)
    body = body.replace(name, JOB + f"{number:0{len(name) - len(JOB)}d}".encode())
    return gzip.compress(body, 1, mtime=0) if packed else body


def job_of(one: replay.Upload) -> bytes:
    """Return the job that an upload names."""
    body = gzip.decompress(one.body) if one.encoding == "gzip" else one.body
    return body[body.index(JOB) :][:15]


def hub_with(**settings: str) -> Hub:
    """Start a hub that knows LiveKit's project."""
    return Hub("", **replay.PROJECT, **settings)


def memory() -> None:
    """Compare the hub's memory."""
    found = {}
    for state in ("off", "on"):
        hub = hub_with(STREAM_OBSERVABILITY=state)
        for number in range(CALLS):
            for one in replay.uploads():
                answer = replay.send(hub.url, one, body=renamed(one, number))
                expected = 200 if state == "on" else 401
                if answer.status_code != expected:
                    raise RuntimeError(f"{one.path}: {answer.status_code} {answer.text}")
        while waiting(hub):
            time.sleep(0.1)
        found[state] = resident(hub.process.pid) / 1024
        hub.end()
    tell(
        "memory of the hub, after the uploads of 100 calls",
        more_mb=round(found["on"] - found["off"], 1),
        **{f"{state}_mb": round(one, 1) for state, one in found.items()},
        load_average=load(),
    )


def busy(seconds: float) -> None:
    """Measure how soon uploads are answered while many sessions upload, by a process of its own."""
    hub = hub_with()
    ran = subprocess.run(
        [*ME, "--sessions", hub.url, "--seconds", str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    took: list[float] = json.loads(ran.stdout)
    tell(
        f"an upload is answered, {CALLS} sessions at once",
        p50_ms=round(quantile(took, 0.5), 2),
        p99_ms=round(quantile(took, 0.99), 2),
        most_ms=round(max(took), 1),
        uploads=len(took),
        per_second=round(len(took) / seconds, 1),
        load_average=load(),
    )
    hub.end()


def upload_as_sessions(url: str, seconds: float) -> list[float]:
    """Upload as `CALLS` agents do, each on its own connection and in its own time; return the milliseconds."""
    took: list[float] = []
    over = time.monotonic() + seconds
    kinds = {"logs": LOG_SECONDS, "traces": TRACE_SECONDS}
    batches = {kind: [one for one in replay.uploads() if one.kind == kind] for kind in kinds}

    def session(number: int) -> None:
        client = requests.Session()
        due = {kind: time.monotonic() + period * number / CALLS for kind, period in kinds.items()}
        sent = 0
        while min(due.values()) < over:
            kind = min(due, key=lambda one: due[one])
            one = batches[kind][sent % len(batches[kind])]
            headers = {name: one.headers[name] for name in ("content-type", "content-encoding")}
            body = renamed(one, number)
            time.sleep(max(0.0, due[kind] - time.monotonic()))
            began = time.perf_counter()
            answer = client.post(
                url + one.path,
                data=body,
                headers=headers | {"Authorization": f"Bearer {replay.token()}"},
                timeout=30,
            )
            took.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
            due[kind] += kinds[kind]
            sent += 1

    threads = [threading.Thread(target=session, args=(number,)) for number in range(CALLS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def audio(pairs: int, seconds: float) -> None:
    """Compare how late events arrive while an hour's audio is uploaded."""
    late: dict[str, list[float]] = {"upload": [], "none": []}
    with tempfile.TemporaryDirectory() as folder:
        hub = hub_with(STREAM_ARCHIVE_AUDIO="on", STREAM_ARCHIVE_AUDIO_DIR=folder)
        arrived: list[float] = []
        over = threading.Event()
        reader = threading.Thread(target=arrivals, args=(hub, arrived, over), daemon=True)
        reader.start()
        post(hub, 200, seconds, 10)
        for pair in range(pairs):
            for state in ("upload", "none") if pair % 2 else ("none", "upload"):
                arrived.clear()
                uploading = (
                    subprocess.Popen([*ME, "--audio", hub.url, "--number", str(pair)], cwd=ROOT)
                    if state == "upload"
                    else None
                )
                post(hub, 200, seconds, 10)
                if uploading is not None and uploading.wait(120):
                    raise RuntimeError("the audio was not taken")
                late[state].append(quantile(arrived, 0.99))
                while waiting(hub) or hub.behind():
                    time.sleep(0.1)
        over.set()
        hub.end()
    ratios = [upload / none for upload, none in zip(late["upload"], late["none"], strict=True)]
    tell(
        "stream, p99, while an hour's audio is uploaded",
        upload_ms=[round(one, 2) for one in late["upload"]],
        none_ms=[round(one, 2) for one in late["none"]],
        median_ratio=round(sorted(ratios)[len(ratios) // 2], 2),
        load_average=load(),
    )


def upload_audio(url: str, number: int) -> None:
    """Upload a recording with an hour's audio."""
    one = next(one for one in replay.uploads() if one.kind == "recordings")
    old = one.content_type.partition("boundary=")[2].encode()
    body = renamed(one, 1000 + number)
    place = body.index(b"OggS") + 4
    headers = {"Content-Type": one.content_type, "Authorization": f"Bearer {replay.token()}"}

    def pieces() -> Iterator[bytes]:
        yield body[:place]
        for _ in range(AUDIO_BYTES // 65_536):
            yield os.urandom(65_536).replace(old, b"")
        yield body[place:]

    requests.post(url + one.path, data=pieces(), headers=headers, timeout=120).raise_for_status()


def waiting(hub: Hub) -> float:
    """Return how many uploads wait to be archived."""
    lines = requests.get(f"{hub.url}/metrics", timeout=30).text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("hub_uploads_waiting "))


def load() -> list[float]:
    """Return the load average."""
    return [round(one, 2) for one in os.getloadavg()]


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs of the part `audio`")
    parser.add_argument("--seconds", type=float, default=20, help="length of `busy`, and of a run of `audio`")
    parser.add_argument("--sessions", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--audio", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sessions:
        print(json.dumps(upload_as_sessions(options.sessions, options.seconds)))
    elif options.audio:
        upload_audio(options.audio, options.number)
    else:
        parts = options.part or PARTS
        if "memory" in parts:
            memory()
        if "busy" in parts:
            busy(options.seconds)
        if "audio" in parts:
            audio(options.pairs, options.seconds)


if __name__ == "__main__":
    main()
