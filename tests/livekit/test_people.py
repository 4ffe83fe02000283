"""The tests' own people: what one says in a room is what another one hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit import api

from tests.livekit.participant import Participant
from tests.livekit.processes import API_KEY, API_SECRET, LiveKitServer
from tests.livekit.waiting import wait_until
from tests.stubs.speech import RATE, Vocabulary

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.livekit.conftest import OpenBrowser

pytestmark = pytest.mark.livekit


def person(server: LiveKitServer, identity: str) -> Participant:
    grants = api.VideoGrants(room_join=True, room="hall")
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(grants).to_jwt()
    return Participant(server.url, token, identity)


def test_what_is_said_is_heard_and_recognised(livekit_server: LiveKitServer) -> None:
    phrase = "What is the weather in Paris?"
    ears = Vocabulary()
    for known in (phrase, "What is the weather in London?", "Tell me a long story about the sea."):
        ears.learn(known)
    with person(livekit_server, "alice") as alice, person(livekit_server, "bob") as bob:
        wait_until(lambda: len(bob.pcm) > RATE, seconds=15, text="bob hears alice's microphone")
        ended = alice.say(phrase)
        heard = bob.heard.wait(lambda one: one.ended > ended - 0.5, seconds=10, text="alice's whole phrase")
        assert ears.recognise(bytes(bob.pcm), RATE) == phrase
        assert 1 < heard.ended - heard.began < 3


def test_rooms_survive_a_restart_of_the_server(livekit_server: LiveKitServer) -> None:
    with person(livekit_server, "alice") as alice, person(livekit_server, "bob") as bob:
        wait_until(lambda: len(bob.pcm) > RATE, seconds=15, text="bob hears alice's microphone")
        livekit_server.kill()
        livekit_server.start()
        wait_until(lambda: len(alice.pcm) > 0, seconds=5, text="alice heard bob")
        before = len(bob.heard.all())
        wait_until(
            lambda: bool(alice.say("Hello there.")) and len(bob.heard.all()) > before,
            seconds=40,
            text="bob hears alice again",
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
