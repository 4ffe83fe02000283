"""What an agent uploaded, on the page of its session: stages, log, reconciliation, sound."""

from __future__ import annotations

import io
import math
import struct
import wave
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import requests
from playwright.sync_api import expect

from streaming_hub.archive.uploads.recording import read
from tests.browser.console import axe
from tests.browser.console.calls import START, call
from tests.browser.console.on_console import KEYS, enter_key, table
from tests.browser.console.on_session import archived, at_clock, lines, moment, open_page, position
from tests.kit.wait import until
from tests.uploads import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page
OPERATOR = {"Authorization": "Bearer operator-key"}


@pytest.fixture
def hub(start_hub: Callable[..., Hub]) -> Hub:
    """A hub to which agents may upload."""
    return start_hub(**KEYS, **replay.PROJECT)


def get(hub: Hub, path: str) -> Any:
    answer = requests.get(f"{hub.url}/api/sessions/{path}", headers=OPERATOR, timeout=10)
    return answer.json() if answer.ok else None


@pytest.fixture
def uploaded(hub: Hub) -> str:
    """A real agent's call, made of nothing but its uploads; its session's id."""
    replay.send_all(hub.url)
    found: list[Any] = []

    def is_whole() -> bool:
        listed = requests.get(f"{hub.url}/api/sessions", headers=OPERATOR, timeout=10)
        sessions = listed.json()["sessions"] if listed.ok else []
        if not sessions:
            return False
        name = sessions[0]["session_id"]
        found[:] = [name, get(hub, name), get(hub, f"{name}/trace"), get(hub, f"{name}/logs")]
        detail = found[1]
        return bool(
            detail
            and detail["reconciliation"]
            and detail["session"]["state"] == "ended"
            and found[3]["lines"]
        )

    until(is_whole, what=lambda: str(found)[:500])
    return str(found[0])


def enter(page: Page, hub: Hub, where: str, key: str = "operator-key") -> None:
    page.goto(f"{hub.url}/console/sessions/{where}")
    enter_key(page, key)
    expect(page.get_by_role("slider", name="Position")).to_be_visible()


def test_the_stages_of_each_turn_are_on_the_clock(page: Page, hub: Hub, uploaded: str) -> None:
    enter(page, hub, uploaded)
    trace = get(hub, f"{uploaded}/trace")
    turns = get(hub, uploaded)["turns"]
    expected = [stage for turn in trace["turns"] for stage in turn["stages"]] + trace["other"]
    rows = table(page, "Stages").locator("tbody").nth(1).get_by_role("row")
    expect(rows).to_have_count(len(expected))
    request = next(stage for stage in expected if stage["name"] == "llm_request")
    turn = next(one for one in trace["turns"] if request in one["stages"])
    row = rows.filter(has_text="llm request").first
    for text in (request["model"], f"{request['input_tokens']} in", f"{request['duration']:.2f} s"):
        expect(row).to_contain_text(text)
    number = [one["turn_id"] for one in turns].index(turn["turn_id"]) + 1
    expect(row.get_by_role("cell").nth(1)).to_have_text(str(number))
    row.get_by_role("link").click()
    expect(rows.filter(has=page.locator(":scope[aria-current]"))).to_have_count(1)
    assert position(page) == pytest.approx(
        request["started"] - get(hub, uploaded)["session"]["started"], abs=0.1
    )


def test_the_log_moves_with_the_clock(page: Page, hub: Hub, uploaded: str) -> None:
    enter(page, hub, uploaded)
    said = get(hub, f"{uploaded}/logs")["lines"]
    rows = table(page, "Log").locator("tbody").nth(1).get_by_role("row")
    expect(rows).to_have_count(len(said))
    expect(rows.first).to_contain_text(said[0]["message"][:40])
    started = get(hub, uploaded)["session"]["started"]
    last = page.get_by_role("slider", name="Position")
    last.fill(str(said[-1]["at"] - started + 0.5))
    current = table(page, "Log").locator("tr[aria-current]")
    expect(current).to_contain_text(said[-1]["message"][:40])
    last.fill("0")
    expect(rows.last).not_to_have_attribute("aria-current", "true")


def test_whether_the_transcript_is_complete_is_shown(page: Page, hub: Hub, uploaded: str) -> None:
    known = get(hub, uploaded)["reconciliation"]
    enter(page, hub, uploaded)
    region = page.get_by_role("region", name="Reconciliation")
    expect(region).to_contain_text("Complete" if known["complete"] else f"{len(known['missing'])} missing")

    def with_a_gap(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        lost = {"role": "agent", "text": "<b>Goodbye.</b>", "at": body["session"]["started"] + 3}
        body["reconciliation"] = {"complete": False, "missing": [lost], "unexpected": []}
        route.fulfill(response=answer, json=body)

    page.route(f"**/api/sessions/{uploaded}", with_a_gap)
    page.reload()
    expect(region).to_contain_text("1 missing")
    expect(page.get_by_role("list", name="Only in the chat history")).to_contain_text(
        "agent: <b>Goodbye.</b>"
    )


def test_viewers_are_not_even_asked_for(page: Page, hub: Hub, uploaded: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    enter(page, hub, uploaded, "viewer-key")
    expect(lines(page).first).to_be_visible()
    for name in ("Stages", "Log"):
        expect(table(page, name)).to_be_hidden()
    expect(page.get_by_role("region", name="Reconciliation")).to_be_hidden()
    expect(page.get_by_role("button", name="sound")).to_be_hidden()
    assert [url for url in asked if any(part in url for part in ("/trace", "/logs", "/audio"))] == []


def tone(seconds: float) -> bytes:
    """A recording: the user is heard in its first half on the left, the agent in its second on the right."""
    rate, file = 8000, io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((2, 2, rate, 0, "NONE", ""))
        for at in range(round(rate * seconds)):
            level = round(20_000 * math.sin(2 * math.pi * 440 * at / rate))
            out.writeframesraw(struct.pack("<hh", *((level, 0) if at < rate * seconds / 2 else (0, level))))
    return file.getvalue()


def opus(seconds: float) -> bytes:
    """The same tone as LiveKit's recorder writes it: Opus at 48 kHz, the user on the left, the agent on the right."""
    rate, file = 48_000, io.BytesIO()
    at = np.arange(round(rate * seconds))
    level = np.sin(2 * np.pi * 440 * at / rate).astype("float32") * 0.6
    is_user = at < len(at) / 2
    block = np.stack([level * is_user, level * ~is_user])
    with av.open(file, mode="w", format="ogg") as container:
        stream: Any = container.add_stream("libopus", rate=rate, layout="stereo")
        for start in range(0, len(at), rate):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block[:, start : start + rate]), format="fltp", layout="stereo"
            )
            frame.sample_rate = rate
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(params=[(tone, "audio/wav"), (opus, "audio/ogg")], ids=["wav", "opus"])
def recorded(request: pytest.FixtureRequest, page: Page, hub: Hub) -> list[dict[str, str]]:
    """A session with sound, `d74c`; the headers of the requests for it."""
    make, kind = request.param
    hub.publish(call(), Authorization="Bearer publish-key")
    archived(hub, "d74c", key="operator-key")
    sound, asked = make(20), []

    def detail(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["session"] |= {"audio": True, "recording_start": START + 2}
        route.fulfill(response=answer, json=body)

    def audio(route: Route) -> None:
        asked.append(route.request.headers)
        route.fulfill(body=sound, content_type=kind)

    page.route("**/api/sessions/d74c?*", detail)
    page.route("**/api/sessions/d74c", detail)
    page.route("**/api/sessions/d74c/audio*", audio)
    return asked


COLOURS = """(canvas, colours) => {
    const context = canvas.getContext('2d');
    const probe = document.body.appendChild(document.createElement('i'));
    const [user, agent] = ['user', 'agent'].map((name) => {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color.match(/\\d+/g).join();
    });
    probe.remove();
    const ratio = canvas.width / canvas.clientWidth;
    const at = (second, y) => {
        const x = Math.round(second / 45 * canvas.width);
        return [...context.getImageData(x, Math.round(y * ratio), 1, 1).data.slice(0, 3)].join();
    };
    const name = (colour) => ({ [user]: 'user', [agent]: 'agent' })[colour] ?? '';
    return [1, 5, 17, 30].map((second) => [name(at(second, 45)), name(at(second, 62))]);
}"""


def test_the_waveform_lies_on_the_clock(page: Page, hub: Hub, recorded: list[dict[str, str]]) -> None:
    enter(page, hub, "d74c")
    expect(page.get_by_role("button", name="Sound", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="All", exact=True).click()
    # From second 2 to 22: the user first, above, then the agent, below.
    lanes = page.get_by_role("img", name="Lanes")
    until(
        lambda: lanes.evaluate(COLOURS) == [["", ""], ["user", ""], ["", "agent"], ["", ""]],
        what=lambda: str(lanes.evaluate(COLOURS)),
    )
    assert [headers["authorization"] for headers in recorded] == ["Bearer operator-key"]


SOUNDS = """() => {
    window.sounds = [];
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
        if (!window.sounds.includes(this)) window.sounds.push(this);
        return play.call(this);
    };
}"""


def test_the_sound_is_heard_at_the_clock(page: Page, hub: Hub, recorded: list[dict[str, str]]) -> None:
    page.add_init_script(f"({SOUNDS})()")
    enter(page, hub, "d74c")
    sound = page.get_by_role("button", name="Sound", exact=True)
    expect(sound).to_have_attribute("aria-pressed", "true")
    page.get_by_role("slider", name="Position").fill("7")
    page.get_by_role("button", name="Play").click()

    def off() -> float:
        """How far the sound is from the clock, seconds; infinite while it is silent."""
        heard = page.evaluate(
            "() => { const [one] = window.sounds; return one && !one.paused ? one.currentTime + 2 - "
            "Number(document.querySelector('input[type=range]').value) : null; }"
        )
        return math.inf if heard is None else abs(heard)

    until(lambda: off() < 0.5)
    page.get_by_role("combobox", name="Speed").select_option("2")
    until(lambda: page.evaluate("window.sounds[0].playbackRate") == 2 and off() < 1)
    sound.click()
    expect(sound).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("window.sounds[0].muted")
    page.get_by_role("button", name="Pause").click()
    until(lambda: page.evaluate("window.sounds[0].paused"))
    page.get_by_role("slider", name="Position").fill("40")
    page.get_by_role("button", name="Play").click()
    before = moment(page)
    until(lambda: moment(page)[0] > before[0])
    assert page.evaluate("window.sounds[0].paused")
    assert recorded


def test_what_the_agents_recorder_uploaded_is_heard(page: Page, start_hub: Callable[..., Hub]) -> None:
    """From the upload to the ear, with nothing in between but the hub."""
    hub = start_hub(**KEYS, **replay.PROJECT, STREAM_ARCHIVE_AUDIO="on")
    events = replay.attached()
    session = events[0]["session_id"]
    hub.publish(events, Authorization="Bearer publish-key")
    archived(hub, session, key="operator-key")
    upload = next(one for one in replay.uploads() if one.kind == "recordings")
    recording = read(upload.content_type, upload.body)
    sound = opus(8)
    assert replay.send(hub.url, upload, body=upload.body.replace(recording.audio, sound)).ok
    until(lambda: (get(hub, session) or {"session": {"audio": False}})["session"]["audio"])
    page.add_init_script(f"({SOUNDS})()")
    enter(page, hub, session)
    expect(page.get_by_role("button", name="Sound", exact=True)).to_have_attribute("aria-pressed", "true")
    start = get(hub, session)["session"]["recording_start"] - get(hub, session)["session"]["started"]
    page.get_by_role("slider", name="Position").fill(str(max(0, start) + 1))
    page.get_by_role("button", name="Play").click()

    def heard() -> float:
        return float(page.evaluate("() => window.sounds[0]?.currentTime ?? 0"))

    until(lambda: heard() > 1.2)
    assert page.evaluate("Math.round(window.sounds[0].duration)") == 8
    assert abs(heard() + start - position(page)) < 1


def test_sound_that_cannot_be_loaded_is_reported(
    page: Page, hub: Hub, recorded: list[dict[str, str]]
) -> None:
    page.unroute("**/api/sessions/d74c/audio*")
    page.route(
        "**/api/sessions/d74c/audio*", lambda route: route.fulfill(body=b"no sound", content_type="audio/ogg")
    )
    enter(page, hub, "d74c")
    expect(page.get_by_role("alert").filter(has_text="The sound cannot be loaded")).to_be_visible()
    expect(page.get_by_role("button", name="Load sound")).to_be_enabled()
    expect(at_clock(page)).to_have_count(0)
    assert recorded == []


@pytest.mark.npm
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    page: Page, hub: Hub, uploaded: str, scheme: Any, recorded: list[dict[str, str]]
) -> None:
    page.emulate_media(color_scheme=scheme)
    enter(page, hub, uploaded)
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for where in (uploaded, "d74c"):
            open_page(page, hub, where)
            expect(lines(page).first).to_be_visible()
            if where == uploaded:
                expect(table(page, "Log")).to_be_visible()
            else:
                expect(page.get_by_role("button", name="Sound", exact=True)).to_be_visible()
            assert axe.serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert recorded
