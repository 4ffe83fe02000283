"""Measure every client and write docs/reference/conformance.md: `uv run python -m tools.conformance.make_table`.

Installs the other clients from their registries into a temporary directory. Needs Chromium, Node and npm.
`--client WORD` and `--case WORD` measure those whose names hold the word, print the results and write nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.conformance.cases import CASES, GROUPS, Case
from tools.conformance.clients import Client, Page, Program
from tools.conformance.measure import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]
DOCUMENT: Final = ROOT / "docs" / "reference" / "conformance.md"
BEGIN: Final = "<!-- measured -->\n"
AT_ONCE: Final = 30
CHROMIUM: Final = "/usr/bin/chromium"
PYTHON: Final = ("httpx-sse", "sseclient-py", "aiohttp-sse-client")
NPM: Final = ("eventsource", "@microsoft/fetch-event-source")
HTML: Final = ("text/html", b"<!doctype html><title>client</title><link rel=icon href=data:,>")
JAVASCRIPT: Final = "text/javascript"

NATIVE: Final = """
const source = new EventSource('/stream');
source.onmessage = ({ data }) => console.log(data);
source.onerror = () => source.readyState === 2 && console.log(JSON.stringify({ error: 'closed' }));
"""
FETCH_EVENT_SOURCE: Final = """
import('/lib/index').then(({ fetchEventSource }) => fetchEventSource('/stream', {
  openWhenHidden: true,
  onmessage: ({ event, data }) => (event || 'message') === 'message' && console.log(data),
})).then(
  () => console.log('{"ended":true}'),
  (error) => console.log(JSON.stringify({ error: String(error) })),
);
"""
OWN: Final = """
import('/src/index.js').then(async ({ openStream }) => {
  for await (const item of openStream({ url: '/stream' })) console.log(JSON.stringify(item));
}).catch((error) => console.log(JSON.stringify({ error: `${error.status} ${error}` })));
"""


def own_programs() -> dict[str, Client]:
    """Return this project's clients that need no browser."""
    python = [sys.executable, str(FOLDER / "python_client.py")]
    module = (ROOT / "packages/js/src/index.js").as_uri()
    return {
        "`follow`": Program([*python, "follow"]),
        "`afollow`": Program([*python, "afollow"]),
        "`openStream` (Node)": Program(["node", str(FOLDER / "node_client.mjs"), "openStream"], [module]),
    }


def own_page(browser: Any) -> dict[str, Client]:
    """Return this project's client in a page."""
    sources = {
        f"/src/{path.name}": (JAVASCRIPT, path.read_bytes())
        for path in (ROOT / "packages/js/src").glob("*.js")
    }
    return {"`openStream` (Chromium)": Page(browser, OWN, {"/": HTML, **sources})}


def others(folder: Path, browser: Any) -> dict[str, Client]:
    """Install the other clients, and return them by name and version."""
    versions = _install(folder)
    library = {
        f"/lib/{path.name.removesuffix('.js')}": (JAVASCRIPT, path.read_bytes())
        for path in (folder / "node_modules" / NPM[1] / "lib/esm").glob("*.js")
    }
    index = (folder / "node_modules/eventsource/dist/index.js").as_uri()
    node = ["node", str(FOLDER / "node_client.mjs"), "eventsource"]
    python = [str(folder / "env/bin/python"), str(FOLDER / "python_client.py")]
    return {
        f"EventSource (Chromium {browser.version.partition('.')[0]})": Page(browser, NATIVE, {"/": HTML}),
        f"eventsource {versions[NPM[0]]} (Node)": Program(node, [index]),
        f"fetch-event-source {versions[NPM[1]]} (Chromium)": Page(
            browser, FETCH_EVENT_SOURCE, {"/": HTML, **library}
        ),
        **{f"{name} {versions[name]}": Program([*python, name]) for name in PYTHON},
    }


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def results(clients: dict[str, Client], cases: list[Case]) -> dict[tuple[str, str], bool]:
    """Measure clients in cases, by their names.

    Failures are measured once more, and the second result counts: on a busy machine a program may start late. It cannot
    make a client look better than it is, because each case allows far more time than it needs.
    """
    pairs = [(name, case) for case in cases for name in clients]
    found: dict[tuple[str, str], bool] = {}
    for _ in range(2):
        began = time.monotonic()
        measured = measure([(clients[name], case) for name, case in pairs], AT_ONCE)
        found |= {(name, case.name): passed for (name, case), passed in zip(pairs, measured, strict=True)}
        pairs = [(name, case) for name, case in pairs if not found[name, case.name]]
        print(
            f"{len(measured)} measured in {time.monotonic() - began:.0f} s, {len(pairs)} failed", flush=True
        )
    return found


def document(found: dict[tuple[str, str], bool], clients: list[str]) -> str:
    """Return the measured part of the document."""
    lines = [f"| | {' | '.join(clients)} |", f"|---{'|:-:' * len(clients)}|"]
    for title, group in GROUPS.items():
        lines.append(f"| **{title}** |{' |' * len(clients)}")
        for case in group:
            words = ["yes" if found[name, case.name] else "no" for name in clients]
            lines.append(f"| {case.name} | {' | '.join(words)} |")
    for title, group in GROUPS.items():
        lines += ["", f"## {title}", ""]
        lines += [f"- **{case.name}**: {case.about}" for case in group]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the document, or print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", metavar="WORD", default="")
    parser.add_argument("--case", metavar="WORD", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        clients = {**own_programs(), **own_page(browser), **others(Path(temporary), browser)}
        clients = {name: one for name, one in clients.items() if asked.client.lower() in name.lower()}
        found = results(clients, [case for case in CASES if asked.case.lower() in case.name.lower()])
    if asked.client or asked.case:
        for (name, case), passed in sorted(found.items()):
            print(f"{'yes' if passed else 'no':4}{name}: {case}")
        return
    head = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[0]
    DOCUMENT.write_text(head + BEGIN + document(found, list(clients)), encoding="utf-8")


def _install(folder: Path) -> dict[str, str]:
    _run("uv", "venv", "-q", str(folder / "env"))
    python = str(folder / "env/bin/python")
    _run("uv", "pip", "install", "-q", "-p", python, "httpx", "requests", *PYTHON)
    (folder / "package.json").write_text("{}")
    _run("npm", "install", "--no-audit", "--no-fund", "--silent", *NPM, cwd=folder)
    frozen = _run("uv", "pip", "freeze", "-q", "-p", python)
    found = dict(line.split("==") for line in frozen.splitlines() if "==" in line)
    for name in NPM:
        manifest = (folder / "node_modules" / name / "package.json").read_text(encoding="utf-8")
        found[name] = json.loads(manifest)["version"]
    return found


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
