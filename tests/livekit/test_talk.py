"""Talk on the page: a browser with a microphone in a real room, heard in the room and seen on the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streaming_hub.web.console.vendor import CLIENT
from tests.kit.wait import until
from tests.livekit.test_conversation import HELLO

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.livekit.conftest import Join, OpenBrowser
    from tests.livekit.processes import HubServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]

_SOUND = """
() => {
  const audio = document.querySelector("#talk-audio audio");
  return audio !== null && !audio.paused && audio.currentTime > 0.5;
}
"""


@pytest.fixture(autouse=True)
def _needs_livekit_client() -> None:
    if not CLIENT.is_file():
        pytest.skip("livekit-client is not installed (README, Talk to it)")


def watched(page: Page) -> list[str]:
    """Collect what the page complains about."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
    return wrong


def test_talk_starts_the_agent_and_words_are_in_the_room_and_on_the_page(
    hub: HubServer, stub: OpenAIStub, join: Join, open_browser: OpenBrowser
) -> None:
    stub.learn(HELLO)
    page = open_browser(HELLO, HELLO, HELLO, pause=8.0)
    wrong = watched(page)
    page.goto(hub.url)
    page.get_by_label("Room to talk in").fill("kitchen")
    page.get_by_role("button", name="Talk", exact=True).click()
    page.get_by_text("In kitchen as user-").wait_for(timeout=60_000)
    greeting = hub.stream.wait("agent_speech_started", room="kitchen", seconds=60)
    listener = join("kitchen", "bob")  # only now, or the agent might listen to him
    page.get_by_text("The agent is here: speak.").wait_for(timeout=30_000)
    said = hub.stream.wait(
        "transcript", role="user", is_final=True, room="kitchen", text=HELLO, after=greeting, seconds=60
    )
    answer = hub.stream.wait("transcript", role="agent", is_final=True, room="kitchen", after=said)
    assert answer["text"] == f"You said: {HELLO}"
    assert said["participant"].startswith("user-")
    page.get_by_role("log", name="Conversation").get_by_text(f"You said: {HELLO}").first.wait_for()
    page.wait_for_function(_SOUND, timeout=20_000)
    until(
        lambda: any(one.text == HELLO for one in listener.words.all()),
        seconds=20,
        what="the room's own transcription has the words",
    )
    page.get_by_role("button", name="Leave").click()
    page.get_by_role("button", name="Talk", exact=True).wait_for()
    hub.stream.wait("session_ended", room="kitchen", seconds=60, after=answer)
    assert wrong == []
