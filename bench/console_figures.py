"""What the console costs a browser: `uv run bench/console_figures.py [--sessions N] [--seconds N] [--warm-up N]`.

Starts a hub, posts the events of many calls, opens pages in Chromium, and prints one line of JSON for each figure.
First of one past session of an hour and 10,000 events:

    hour_opens_ms        ms from navigation until its words are on the page; `hour_opens_first_ms` with a cold cache
    hour_frames_s        frames per second while each of them moves the position

Then of the page Live:

    first_view_ms        ms from navigation until every call is on the page
    words_max_s          age of the oldest words on the page, sampled twice a second; `words_median_s`
    long_task_share      share of the time in tasks of over 50 ms, after loading; `longest_task_ms`
    elements             in the document
    heap_mb              most after garbage collection; `heap_growth_mb`: least of the last third less that of the first
    renderer_cores       share of a core that the page's process used

Hub, publisher and browser share the machine, so run it on a quiet one. Exits with 1 if a figure is over its limit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from playwright.sync_api import sync_playwright

from tests.kit.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, CDPSession, Page

ROOT: Final = Path(__file__).resolve().parents[1]
CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
LOADING: Final = 5.0
"""Seconds after the first view in which tasks do not count."""
TURN: Final = 100
"""Events of a turn; half of them are the caller's."""
LIMITS: Final = {
    "first_view_ms": 1000,
    "words_max_s": 2.0,
    "long_task_share": 0.25,
    "longest_task_ms": 250,
    "elements": 20_000,
    "heap_mb": 100,
    "hour_opens_ms": 1000,
}
FLOORS: Final = {"hour_frames_s": 30}
HOUR: Final = 3600.0
HOUR_EVENTS: Final = 10_000
OPENED: Final = """
() => {
  const look = setInterval(() => {
    if (!document.querySelector('#transcript > li .said')?.textContent) return;
    globalThis.opened = performance.now();
    clearInterval(look);
  }, 2);
}
"""
SCRUB: Final = """
async (seconds) => {
  const slider = document.getElementById('position');
  const begun = performance.now();
  let frames = 0;
  while (performance.now() - begun < seconds * 1000) {
    slider.value = String((frames * 37) % 3600);
    slider.dispatchEvent(new Event('input'));
    await new Promise(requestAnimationFrame);
    frames++;
  }
  return frames / ((performance.now() - begun) / 1000);
}
"""
IN_PAGE: Final = """
(count) => {
  const figures = (globalThis.figures = { first: null, ages: [], tasks: [] });
  const at = (name) => document.getElementById(name);
  const look = setInterval(() => {
    if ((at('sessions')?.children.length ?? 0) < count) return;
    figures.first = performance.now();
    clearInterval(look);
  }, 5);
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) figures.tasks.push([startTime, duration]);
  }).observe({ type: 'longtask', buffered: true });
  setInterval(() => {
    if (figures.first === null) return;
    const now = Date.now() / 1000;
    const times = [...document.querySelectorAll('#sessions .words > :last-child > .said')].map((said) =>
      Number(said.textContent.split(' ').at(-1)),
    );
    if (times.length >= count) figures.ages.push(now - Math.min(...times));
  }, 500);
}
"""


def report(name: str, **figures: Any) -> None:
    """Print a figure."""
    print(json.dumps({"figure": name, **figures}), flush=True)


def call(number: int) -> Iterator[dict[str, Any]]:
    """Yield a call's events without an end; each transcript is what `spoken` makes of it when it is posted."""
    common = {"room": f"room-{number:03}", "session_id": f"s{number}"}
    user = {**common, "participant": f"caller-{number}", "role": "user"}
    agent = {**common, "participant": "agent", "role": "agent"}
    yield {"type": "session_started", **common}
    turn = 0
    while True:
        turn += 1
        for who, kind, half in ((user, "user", 0), (agent, "agent", 1)):
            said = {**who, "turn_id": f"t{turn}"}
            segment = f"t{turn}.{half}"
            yield {"type": f"{kind}_speech_started", **said}
            for step in range(TURN // 2 - 4):
                yield {
                    "type": "transcript",
                    "text": "so many words " * (1 + step // 4),
                    "is_final": False,
                    "segment_id": segment,
                    **said,
                }
            yield {"type": f"{kind}_speech_finished", **said}
            yield {"type": "transcript", "text": "so many words " * 12, "segment_id": segment, **said}
            yield {"type": "agent_state", "state": "listening" if half else "thinking", **agent}


def publish(url: str, sessions: int, rate: float, seconds: float) -> None:
    """Post one event of every call `rate` times a second."""
    calls = [call(number) for number in range(sessions)]
    for number, one in enumerate(calls):
        for _ in range(1 + number * 7 % TURN):
            next(one)  # calls are not all at the same place
    with requests.Session() as session:
        started = [
            {"type": "session_started", "room": f"room-{n:03}", "session_id": f"s{n}"}
            for n in range(sessions)
        ]
        session.post(f"{url}/api/agent/data", json=started, timeout=30).raise_for_status()
        begun = time.time()
        step = 0
        while time.time() < begun + seconds:
            now = time.time()
            events = [spoken(next(one), now) for one in calls]
            for start in range(0, sessions, 500):
                session.post(
                    f"{url}/api/agent/data", json=events[start : start + 500], timeout=30
                ).raise_for_status()
            step += 1
            time.sleep(max(0.0, begun + step / rate - time.time()))


def spoken(event: dict[str, Any], now: float) -> dict[str, Any]:
    """Give an event its time, and a transcript the same as its last word."""
    more = {"text": f"{event['text']}{now:.3f}"} if event["type"] == "transcript" else {}
    return {**event, "timestamp": now, **more}


def measure(browser: Browser, url: str, sessions: int, seconds: float, warm_up: float) -> dict[str, float]:
    """Open the page Live and watch it.

    Args:
        browser: Chromium.
        url: the hub's.
        sessions: how many calls are live.
        seconds: how long to watch.
        warm_up: seconds before anything counts, in which what the page keeps of each call fills up.

    Returns:
        The figures of `LIMITS`, and those without a limit.
    """
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.add_init_script(f"({IN_PAGE})({sessions})")
    page.goto(f"{url}/console/")
    # Not `wait_for_function`, which the page's policy refuses.
    deadline = time.monotonic() + 60
    while page.evaluate("figures.first") is None:
        if time.monotonic() > deadline:
            raise SystemExit("the calls do not appear")
        page.wait_for_timeout(50)
    cdp = page.context.new_cdp_session(page)
    page.wait_for_timeout(LOADING * 1000)
    page.evaluate("figures.ages.length = 0")
    page.wait_for_timeout(warm_up * 1000)
    since = page.evaluate("performance.now()")
    busy, begun = cpu_of_renderers(browser), time.monotonic()
    heaps = [heap(cdp)]
    while time.monotonic() < begun + seconds:
        page.wait_for_timeout(min(10.0, seconds / 4) * 1000)
        heaps.append(heap(cdp))
    took = time.monotonic() - begun
    renderer = (cpu_of_renderers(browser) - busy) / took
    first, ages, tasks = (page.evaluate(f"figures.{name}") for name in ("first", "ages", "tasks"))
    later = [duration for start, duration in tasks if start >= since]
    third = max(1, len(heaps) // 3)
    return {
        "first_view_ms": round(first),
        "words_max_s": round(max(ages), 3),
        "words_median_s": round(sorted(ages)[len(ages) // 2], 3),
        "long_task_share": round(sum(later) / 1000 / took, 4),
        "longest_task_ms": round(max(later, default=0)),
        "elements": elements(page),
        "heap_mb": round(max(heaps) / 1e6, 1),
        "heap_growth_mb": round((min(heaps[-third:]) - min(heaps[:third])) / 1e6, 1),
        "renderer_cores": round(renderer, 3),
        "seconds": round(took),
    }


def measure_hour(browser: Browser, url: str) -> dict[str, float]:
    """Open the page of a past session of an hour, and scrub through it.

    Returns:
        The figures that begin with `hour`.
    """
    begun = time.time() - HOUR - 60
    step = HOUR / HOUR_EVENTS
    said = itertools.islice(call(0), HOUR_EVENTS - 1)
    events = [
        {**spoken(event, begun + step * place), "session_id": "hour"} for place, event in enumerate(said)
    ]
    events.append(
        {"type": "session_ended", "session_id": "hour", "room": "room-000", "timestamp": begun + HOUR}
    )
    for start in range(0, HOUR_EVENTS, 500):
        requests.post(
            f"{url}/api/agent/data", json=events[start : start + 500], timeout=30
        ).raise_for_status()
    deadline = time.monotonic() + 60
    while requests.get(f"{url}/api/sessions/hour", timeout=30).json().get("session", {}).get("ended") is None:
        if time.monotonic() > deadline:
            raise SystemExit("the archive does not have the session")
        time.sleep(0.5)
    opened = []
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.add_init_script(f"({OPENED})()")
    for _ in range(5):
        page.goto(f"{url}/console/sessions/hour#t=1800")
        while page.evaluate("globalThis.opened ?? null") is None:
            page.wait_for_timeout(20)
        opened.append(page.evaluate("opened"))
        page.goto("about:blank")
    page.goto(f"{url}/console/sessions/hour")
    page.wait_for_timeout(2000)
    frames: float = page.evaluate(SCRUB, 5)
    page.close()
    return {
        "hour_opens_ms": round(sorted(opened)[len(opened) // 2]),
        "hour_opens_first_ms": round(opened[0]),
        "hour_frames_s": round(frames, 1),
    }


def heap(cdp: CDPSession) -> float:
    """Return the page's used heap in bytes, after garbage collection."""
    cdp.send("HeapProfiler.collectGarbage")
    used: float = cdp.send("Runtime.getHeapUsage")["usedSize"]
    return used


def elements(page: Page) -> int:
    """Return how many elements the document has."""
    count: int = page.evaluate("document.querySelectorAll('*').length")
    return count


def cpu_of_renderers(browser: Browser) -> float:
    """Return the seconds of a core that the pages' processes have used."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(process["cpuTime"] for process in processes if process["type"] == "renderer")


def serve(folder: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start a hub on a free port."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    hub = subprocess.Popen(
        [sys.executable, str(ROOT / "flask_server.py"), "--port", str(port)],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(f"{url}/api/health", timeout=5).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return hub, url
    hub.kill()
    raise SystemExit("the hub does not start")


def main() -> int:
    """Run the measurement.

    Returns:
        1 if a figure is over its limit.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0, help="events a second of each session")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds before anything counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hub, url = serve(folder)
        publisher = multiprocessing.get_context("spawn").Process(
            target=publish,
            args=(url, options.sessions, options.rate, options.warm_up + options.seconds + 120),
            daemon=True,
        )
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                figures = measure_hour(browser, url)
                publisher.start()
                time.sleep(10)
                figures |= measure(browser, url, options.sessions, options.seconds, options.warm_up)
                browser.close()
        finally:
            if publisher.is_alive():
                publisher.terminate()
                publisher.join()
            hub.terminate()
            hub.wait()
    for name, value in figures.items():
        limit, floor = LIMITS.get(name), FLOORS.get(name)
        if limit is not None:
            report(name, value=value, limit=limit, ok=value <= limit)
        elif floor is not None:
            report(name, value=value, at_least=floor, ok=value >= floor)
        else:
            report(name, value=value)
    missed = [figures[name] > limit for name, limit in LIMITS.items()]
    missed += [figures[name] < floor for name, floor in FLOORS.items()]
    return int(any(missed))


if __name__ == "__main__":
    sys.exit(main())
