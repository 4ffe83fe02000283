"""Fixtures for tests in real rooms.

`livekit_server`, `stub` and `hub` are the whole product; `join` brings people into a room, `open_browser` a
page with a fake microphone. Where no livekit-server is on PATH everything here is skipped.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from playwright.sync_api import sync_playwright

from tests.livekit.participant import Participant
from tests.livekit.processes import HubServer, LiveKitServer
from tests.stubs.openai_stub import OpenAIStub
from tests.stubs.speech import RATE, say, write_wav

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

_SILENCE_FIRST = 6.0  # seconds; the fake microphone's file begins when the page takes the microphone
_BROWSER_ARGUMENTS = (
    "--disable-gpu",
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--no-proxy-server",
)


@pytest.fixture(autouse=True)
def _needs_livekit_server() -> None:
    if shutil.which("livekit-server") is None:
        pytest.skip("livekit-server is not on PATH; docs/guides/development.md says how to get it")


@pytest.fixture
def livekit_server(tmp_path: Path, _needs_livekit_server: None) -> Iterator[LiveKitServer]:
    """A livekit-server of the test's own: it may be killed and started again."""
    with LiveKitServer(tmp_path) as server:
        yield server


@pytest.fixture
def stub() -> Iterator[OpenAIStub]:
    """The model APIs."""
    with OpenAIStub() as running:
        yield running


class StartHub(Protocol):
    """Starts a hub with settings besides the usual ones."""

    def __call__(self, **environment: str) -> HubServer: ...


@pytest.fixture
def start_hub(tmp_path: Path, livekit_server: LiveKitServer, stub: OpenAIStub) -> Iterator[StartHub]:
    """Start a hub with settings of the test's own."""
    with contextlib.ExitStack() as running:

        def start(**environment: str) -> HubServer:
            models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url}
            settings = {**livekit_server.environment, **models, **environment}
            return running.enter_context(HubServer(tmp_path, settings))

        yield start


@pytest.fixture
def hub(start_hub: StartHub) -> HubServer:
    """The hub with LiveKit and the models set up, the agent not started."""
    return start_hub()


class Join(Protocol):
    """Brings a person into a room."""

    def __call__(self, room: str, identity: str = "alice") -> Participant: ...


@pytest.fixture
def join(livekit_server: LiveKitServer) -> Iterator[Join]:
    """Bring people into rooms; they leave when the test ends."""
    with contextlib.ExitStack() as inside:

        def enter(room: str, identity: str = "alice") -> Participant:
            token = livekit_server.token(room, identity)
            return inside.enter_context(Participant(livekit_server.url, token, identity))

        yield enter


class OpenBrowser(Protocol):
    """Opens a page whose microphone says the given phrases once, with a pause after each."""

    def __call__(self, *phrases: str, pause: float = 5.0) -> Page: ...


@pytest.fixture
def open_browser(tmp_path: Path) -> Iterator[OpenBrowser]:
    """Open Chromium with a fake microphone."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright, contextlib.ExitStack() as running:

        def open_page(*phrases: str, pause: float = 5.0) -> Page:
            speech = tmp_path / "microphone.wav"
            speech.write_bytes(_microphone(phrases, pause))
            capture = f"--use-file-for-fake-audio-capture={speech}%noloop"
            options: dict[str, Any] = {"args": [*_BROWSER_ARGUMENTS, capture], "executable_path": chromium}
            browser = playwright.chromium.launch(**options)
            running.callback(browser.close)
            context = browser.new_context(permissions=["microphone"])
            return context.new_page()

        yield open_page


def _microphone(phrases: tuple[str, ...], pause: float) -> bytes:
    """A 48 kHz WAV, which is what Chromium's fake device plays without stretching."""
    silent = bytes(int(RATE * pause) * 2)
    pcm = bytes(int(RATE * _SILENCE_FIRST) * 2) + b"".join(say(phrase) + silent for phrase in phrases)
    doubled = b"".join(pcm[start : start + 2] * 2 for start in range(0, len(pcm), 2))
    return write_wav(doubled, RATE * 2)
