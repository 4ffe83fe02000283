"""Measure every client and write docs/reference/conformance.md: `uv run python -m tools.conformance.make_table`.

Installs the other clients from their registries into a temporary folder. Needs Chromium, Node and npm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

from tools.conformance.cases import CONNECTION, PARSER
from tools.conformance.run import FOLDER, Client, Page, Program, passes

ROOT: Final = FOLDER.parents[1]
DOCUMENT: Final = ROOT / "docs" / "reference" / "conformance.md"
AT_ONCE: Final = 8
OTHERS: Final = ("httpx-sse", "sseclient-py", "aiohttp-sse-client")
HTML: Final = ("text/html", b"<!doctype html><title>client</title><link rel=icon href=data:,>")


def install(folder: Path) -> dict[str, str]:
    """Install the other clients; return their versions."""
    _run("uv", "venv", "-q", str(folder / "env"))
    python = str(folder / "env/bin/python")
    _run("uv", "pip", "install", "-q", "-p", python, "httpx", "requests", *OTHERS)
    (folder / "package.json").write_text("{}")
    npm = ("eventsource", "@microsoft/fetch-event-source")
    _run("npm", "install", "--no-audit", "--no-fund", "--silent", *npm, cwd=folder)
    freeze = _run("uv", "pip", "freeze", "-q", "-p", python)
    found = dict(line.split("==") for line in freeze.splitlines() if "==" in line)
    for name in npm:
        manifest = json.loads((folder / "node_modules" / name / "package.json").read_text())
        found[name] = manifest["version"]
    return {name: found[name] for name in (*OTHERS, *npm)}


def own() -> dict[str, Client]:
    """Return this project's clients."""
    python = [sys.executable, str(FOLDER / "python_client.py")]
    module = (ROOT / "packages/js/src/index.js").as_uri()
    return {
        "`follow`": Program([*python, "follow"]),
        "`afollow`": Program([*python, "afollow"]),
        "`openStream`": Program(["node", str(FOLDER / "node_client.mjs"), "openStream"], [module]),
    }


def others(folder: Path, browser: object, versions: dict[str, str]) -> dict[str, Client]:
    """Return the other clients."""
    fetch_event_source = folder / "node_modules/@microsoft/fetch-event-source/lib/esm"
    modules = {
        f"/lib/{path.name.removesuffix('.js')}": ("text/javascript", path.read_bytes())
        for path in fetch_event_source.glob("*.js")
    }
    import_it = (
        "import('/lib/index').then(({fetchEventSource}) => fetchEventSource('/stream', "
        "{openWhenHidden: true, onmessage: ({data}) => console.log(data)})); 0"
    )
    native = "new EventSource('/stream').onmessage = ({data}) => console.log(data); 0"
    index = (folder / "node_modules/eventsource/dist/index.js").as_uri()
    python = [str(folder / "env/bin/python"), str(FOLDER / "python_client.py")]
    found: dict[str, Client] = {
        "EventSource (Chromium)": Page(browser, native, {"/": HTML}),
        f"eventsource {versions['eventsource']}": Program(
            ["node", str(FOLDER / "node_client.mjs"), "eventsource"], [index]
        ),
        f"fetch-event-source {versions['@microsoft/fetch-event-source']}": Page(
            browser, import_it, {"/": HTML, **modules}
        ),
    }
    for name in OTHERS:
        found[f"{name} {versions[name]}"] = Program([*python, name])
    return found


def table(clients: dict[str, Client]) -> str:
    """Measure, and return the table. Programs run side by side; pages share one browser, which is this thread's."""
    cases = (*PARSER, *CONNECTION)
    results: dict[tuple[str, str], bool] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        coming = {
            (name, case.name): pool.submit(passes, client, case)
            for name, client in clients.items()
            for case in cases
            if not isinstance(client, Page)
        }
        for name, client in clients.items():
            if isinstance(client, Page):
                results |= {(name, case.name): passes(client, case) for case in cases}
        results |= {key: future.result() for key, future in coming.items()}
    lines = [f"| | {' | '.join(clients)} |", f"|---{'|:-:' * len(clients)}|"]
    for title, group in (("Parsing", PARSER), ("Connection", CONNECTION)):
        lines.append(f"| **{title}** |{' |' * len(clients)}")
        for case in group:
            words = ["yes" if results[name, case.name] else "no" for name in clients]
            lines.append(f"| {case.name} | {' | '.join(words)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the document."""
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        versions = install(folder)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--headless=new", "--no-sandbox"]
        )
        made = table({**own(), **others(folder, browser, versions)})
        browser.close()
    head = DOCUMENT.read_text(encoding="utf-8").partition("| |")[0]
    DOCUMENT.write_text(f"{head}{made}\n", encoding="utf-8")


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
