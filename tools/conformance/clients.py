"""A client under measurement: a program, or a page in Chromium. Starts processes, stops and wakes them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ENDED = '{"ended":true}'
"""What a page says when its client has stopped without an error."""


class Reading(Protocol):
    """A client that reads a stream. Each event's data is a line of `lines`; so is `{"error": "..."}`."""

    lines: list[str]

    def has_ended(self) -> bool:
        """Return whether nothing more can come from it."""

    def sleep(self) -> None:
        """Stop it as a sleeping machine does."""

    def wake(self) -> None:
        """Let it continue."""

    def end(self) -> None:
        """End it."""


class Client(Protocol):
    """Something that reads a stream.

    Attributes:
        pages: What the server has to serve beside the stream: path -> media type and body.
    """

    pages: Mapping[str, tuple[str, bytes]]

    def read(self, url: str) -> Reading:
        """Begin to read the stream of a server."""

    def pump(self) -> None:
        """Let what has come in be seen."""


@dataclass
class Program:
    """A client that is a program: its command gets the stream's URL, and then `after`, as arguments."""

    command: Sequence[str]
    after: Sequence[str] = ()
    pages: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)

    def read(self, url: str) -> ProgramReading:
        return ProgramReading([*self.command, f"{url}/stream", *self.after])

    def pump(self) -> None:
        """Nothing: a thread reads."""


class ProgramReading:
    """See `Reading`."""

    def __init__(self, command: Sequence[str]) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def sleep(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Page:
    """A client that is a page. All pages of a browser belong to the thread that started it.

    Attributes:
        browser: Playwright's.
        script: Reads `/stream`, and logs each event's data; an error, or `ENDED`, once nothing more comes.
        pages: As for `Client`; `/` is the page.
    """

    browser: Any
    script: str
    pages: Mapping[str, tuple[str, bytes]]

    def read(self, url: str) -> PageReading:
        return PageReading(self.browser, url, self.script)

    def pump(self) -> None:
        with contextlib.suppress(IndexError):  # no page is open
            self.browser.contexts[0].pages[0].wait_for_timeout(20)


class PageReading:
    """See `Reading`."""

    def __init__(self, browser: Any, url: str, script: str) -> None:
        self.lines: list[str] = []
        self._context = browser.new_context()
        page = self._context.new_page()
        self._devtools = self._context.new_cdp_session(page)
        # The browser writes its own words about failed requests there, too, as errors.
        page.on("console", lambda message: self.lines.append(message.text) if message.type == "log" else None)
        page.goto(f"{url}/")
        page.evaluate(f"() => {{ {script} }}")

    def has_ended(self) -> bool:
        return any(line.startswith(('{"error"', ENDED)) for line in list(self.lines))

    def sleep(self) -> None:
        self._devtools.send("Page.setWebLifecycleState", {"state": "frozen"})

    def wake(self) -> None:
        self._devtools.send("Page.setWebLifecycleState", {"state": "active"})

    def end(self) -> None:
        self._context.close()
