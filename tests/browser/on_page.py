"""Where things are on the page, named as a user would name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.stub_hub import Opened

PATIENCE = 15_000
"""How long the tests wait for what must happen, milliseconds: generous, since the machine may be busy."""
expect.set_options(timeout=PATIENCE)


def conversation(page: Page) -> Locator:
    """The transcript."""
    return page.get_by_role("log", name="Conversation")


def said(page: Page, text: str) -> Locator:
    """A line of the transcript, by exactly its words."""
    return conversation(page).get_by_text(text, exact=True)


def lines(page: Page) -> list[str]:
    """The words of every line of the transcript, in order."""
    return conversation(page).locator(".said").all_inner_texts()


def logged(page: Page, text: str) -> Locator:
    """Rows of the event log that hold a text."""
    return page.get_by_role("listbox", name="Event log").get_by_role("option").filter(has_text=text)


def say(stream: Opened, number: int, text: str, **fields: Any) -> None:
    """Send a transcript of a user in room r1 with the id `e-<number>`."""
    fields = {"room": "r1", "participant": "u", "role": "user", **fields}
    stream.event(f"e-{number}", "transcript", text=text, **fields)
