"""The tests' own people: what one says in a room is what another one hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.wait import until
from tests.stubs.speech import RATE, Vocabulary

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.livekit.conftest import Join, OpenBrowser
    from tests.livekit.processes import LiveKitServer

pytestmark = pytest.mark.livekit


def test_what_is_said_is_heard_and_recognised(join: Join) -> None:
    phrase = "What is the weather in Paris?"
    ears = Vocabulary()
    for known in (phrase, "What is the weather in London?", "Tell me a long story about the sea."):
        ears.learn(known)
    alice, bob = join("hall", "alice"), join("hall", "bob")
    until(lambda: len(bob.pcm) > RATE, seconds=15, what="bob hears alice's microphone")
    ended = alice.say(phrase)
    heard = bob.heard.wait(lambda one: one.ended > ended - 0.5, seconds=10, text="alice's whole phrase")
    assert ears.recognise(bytes(bob.pcm), RATE) == phrase
    assert 1 < heard.ended - heard.began < 3


def test_rooms_survive_a_restart_of_the_server(livekit_server: LiveKitServer, join: Join) -> None:
    alice, bob = join("hall", "alice"), join("hall", "bob")
    until(lambda: len(bob.pcm) > RATE, seconds=15, what="bob hears alice's microphone")
    livekit_server.kill()
    livekit_server.start()
    until(lambda: len(alice.pcm) > 0, seconds=30, what="alice heard bob")
    before = len(bob.heard.all())
    until(
        lambda: bool(alice.say("Hello there.")) and len(bob.heard.all()) > before,
        seconds=40,
        what="bob hears alice again",
    )


def test_the_browsers_fake_microphone_says_the_phrase(open_browser: OpenBrowser) -> None:
    page: Page = open_browser("Hello there.")
    page.goto("chrome://version")
    loudest = page.evaluate(
        """async () => {
            const stream = await navigator.mediaDevices.getUserMedia({audio: true});
            const context = new AudioContext();
            const meter = context.createAnalyser();
            context.createMediaStreamSource(stream).connect(meter);
            const samples = new Float32Array(meter.fftSize);
            let loudest = 0;
            const until = performance.now() + 9000;
            while (performance.now() < until && loudest < 0.05) {
                meter.getFloatTimeDomainData(samples);
                loudest = Math.max(loudest, ...samples.map(Math.abs));
                await new Promise(resolve => setTimeout(resolve, 20));
            }
            return loudest;
        }"""
    )
    assert loudest >= 0.05
