"""examples/webhooks/: a real hub, the programs as they are run, and stubs of the chat and the CRM."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.kit.process import ROOT, SECONDS, Program, free_port
from tests.streaming_hub.outlets.webhooks.hub import LOCAL, WebhookHub
from tests.streaming_hub.outlets.webhooks.receiving import Receiver, receiver
from tests.streaming_hub.web.api.archiving import call, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Recipe:
    """A program of the folder, the webhook that it receives, and the other service's stub."""

    def __init__(self, hub: WebhookHub, folder: Path, stub: Receiver) -> None:
        self.hub = hub
        self.folder = folder
        self.stub = stub
        self.port = free_port()
        self.begun = time.time()
        self.program: Program | None = None

    def make(self, kind: str) -> None:
        made = self.hub.create(f"http://127.0.0.1:{self.port}/hook", types=[kind])
        self.id, self.secret = made["id"], made["secret"]

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        self.stop()
        command = [sys.executable, f"examples/webhooks/{name}", "--port", str(self.port), *arguments]
        self.program = Program(command, WEBHOOK_SECRET=self.secret, **environment)
        self.program.wait_for("Running on")

    def stop(self) -> None:
        if self.program is not None:
            self.program.kill()

    def states(self) -> Counter[str]:
        return Counter(one["state"] for one in self.hub.deliveries(self.id, "?limit=200"))

    def replay(self) -> int:
        """Send all of this test's events again; return how many."""
        answer = self.hub.ask("POST", f"/{self.id}/replay", {"from": self.begun})
        assert answer.status_code == 202, answer.text
        return answer.json()["replayed"]

    def replay_everything(self) -> None:
        """Send all again, and wait until it has arrived."""
        # What is still pending would only be tried at once.
        before = eventually(self.states, lambda found: "pending" not in found).total()
        count = self.replay()
        assert count
        eventually(self.states, lambda found: found.total() == before + count and "pending" not in found)

    @property
    def texts(self) -> list[str]:
        return [got.event["text"] for got in list(self.stub.got)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookHub]:
    with WebhookHub(tmp_path_factory.mktemp("hub"), **LOCAL) as hub:
        yield hub


@pytest.fixture
def recipe(hub: WebhookHub, tmp_path: Path) -> Iterator[Recipe]:
    with receiver() as stub:
        found = Recipe(hub, tmp_path, stub)
        yield found
        found.stop()
        hub.ask("DELETE", f"/{found.id}")


def test_a_chat_gets_one_summary_of_each_call(recipe: Recipe) -> None:
    stub, file = recipe.stub, str(recipe.folder / "posted.db")
    recipe.make("session_report")
    recipe.start("chat_summary.py", "--file", file, CHAT_WEBHOOK_URL=stub.url)
    # Neither an error nor a redirect is a message that was taken.
    stub.plan.extend([500, 302])
    recipe.hub.publish(*call("one", "support & sales <!channel>"))
    (text,) = eventually(lambda: recipe.texts[2:], lambda texts: texts)
    assert recipe.texts == [text] * 3
    assert text.splitlines() == [
        "Call in support &amp; sales &lt;!channel&gt; ended: participant_disconnected",
        "8.0 s, 1 turns, 0 interruptions, 1 of 1 tool calls failed, answers heard after 1.5 s (p95)",
        "> user: What time is it in Paris, one?",
        "> agent: Half past eleven.",
    ]
    recipe.replay_everything()
    recipe.start("chat_summary.py", "--file", file, CHAT_WEBHOOK_URL=stub.url)
    recipe.replay_everything()
    recipe.hub.publish(*call("two", None))
    texts = eventually(lambda: recipe.texts[3:], lambda texts: texts)
    assert len(texts) == 1
    assert texts[0].startswith("Call in no room ended")


def test_a_crm_gets_one_note_of_each_call_though_its_answer_is_lost(recipe: Recipe) -> None:
    notes: dict[str, tuple[str, dict[str, Any]]] = {}
    asked: list[str] = []

    def crm(handler: Any, got: Any) -> None:
        """Keep a note once a key; the first answer is lost, and one contact is unknown."""
        asked.append(got.path)
        known = got.path != "/contacts/bob%2Fx/notes"
        lost = known and got.headers["idempotency-key"] not in notes
        if known:
            notes.setdefault(got.headers["idempotency-key"], (got.path, got.event))
        if lost:
            handler.close_connection = True
            return
        handler.send_response(201 if known else 410)
        handler.send_header("content-length", "0")
        handler.end_headers()

    recipe.stub.act = crm
    recipe.make("session_report")
    recipe.start("crm_notes.py", CRM_URL=f"{recipe.stub.url}/", CRM_KEY="crm-key")
    recipe.hub.publish(*call("one"))
    eventually(recipe.states, {"delivered": 1})
    unknown = [
        {**one, "participant": "bob/x"} if one.get("participant") == "alice" else one for one in call("two")
    ]
    recipe.hub.publish(*unknown)
    # Not even a contact that is gone disables the webhook.
    eventually(recipe.states, {"delivered": 1, "failed": 1})
    recipe.replay_everything()
    assert asked.count("/contacts/alice/notes") == 3
    ((key, (path, note)),) = notes.items()
    assert path == "/contacts/alice/notes"
    assert key.endswith(":alice")
    assert note["title"] == "Call of 8 s"
    assert note["text"] == "user: What time is it in Paris, one?\nagent: Half past eleven."
    assert note["source"] == "support-7/one"
    assert recipe.stub.got[0].headers["authorization"] == "Bearer crm-key"
    failed = recipe.hub.deliveries(recipe.id, "?state=failed")
    assert failed[0]["attempts"][-1]["answer"].startswith("the CRM answered 410")


def test_bad_latency_is_alerted_once_not_for_every_turn(recipe: Recipe) -> None:
    file = str(recipe.folder / "latency.db")
    arguments = ("latency_alert.py", "--file", file, "--limit", "2", "--window", "20")
    recipe.make("turn_metrics")
    recipe.start(*arguments, CHAT_WEBHOOK_URL=recipe.stub.url)
    sent = 0

    def turns(latency: float, count: int) -> None:
        """Have turns of several rooms arrive."""
        nonlocal sent
        sent += count
        now = time.time()
        recipe.hub.publish(
            *(
                {"type": "turn_metrics", "room": f"r{number % 3}", "timestamp": now, "e2e_latency": latency}
                for number in range(count)
            )
        )
        eventually(recipe.states, {"delivered": sent})

    recipe.stub.plan.extend([503, 503])
    # Not enough turns yet to say anything.
    turns(2.5, 1)
    turns(1.0, 20)
    assert recipe.texts == []
    turns(2.5, 1)
    assert recipe.texts == []
    turns(2.5, 20)
    first = recipe.texts
    # The chat took the third one.
    assert len(first) == 3
    assert set(first) == {"Slow answers: p95 of the newest 20 turns is 2.50 s (limit 2 s)"}
    recipe.replay()
    sent *= 2
    eventually(recipe.states, {"delivered": sent})
    recipe.start(*arguments, CHAT_WEBHOOK_URL=recipe.stub.url)
    # Below the limit, but not well below.
    turns(1.9, 20)
    turns(2.5, 3)
    assert recipe.texts == first
    turns(1.0, 20)
    assert recipe.texts[3:] == ["Answers are quick again: p95 of the newest 20 turns is 1.00 s (limit 2 s)"]


def test_a_wrong_secret_is_refused_by_each(recipe: Recipe) -> None:
    recipe.make("session_report")
    recipe.secret = "whsec_" + "QUJD" * 10
    environment = {"CHAT_WEBHOOK_URL": recipe.stub.url, "CRM_URL": recipe.stub.url, "CRM_KEY": "k"}
    for name in ("chat_summary.py", "crm_notes.py", "latency_alert.py"):
        keeps = [] if name == "crm_notes.py" else ["--file", str(recipe.folder / f"{name}.db")]
        recipe.start(name, *keeps, **environment)
        answer = requests.post(f"http://127.0.0.1:{recipe.port}/hook", json={}, timeout=SECONDS)
        assert answer.status_code == 401
        assert recipe.hub.ask("POST", f"/{recipe.id}/test").json()["status"] == 401
    assert recipe.stub.got == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("chat_summary.py", "WEBHOOK_SECRET and CHAT_WEBHOOK_URL"),
        ("crm_notes.py", "WEBHOOK_SECRET and CRM_URL and CRM_KEY"),
        ("latency_alert.py", "WEBHOOK_SECRET and CHAT_WEBHOOK_URL"),
    ],
)
def test_without_its_variables_each_names_them(name: str, wanted: str) -> None:
    without = {
        key: value for key, value in os.environ.items() if not key.startswith(("WEBHOOK_", "CHAT_", "CRM_"))
    }
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / "webhooks" / name],
        env=without,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 2
    assert f"set {wanted} in the environment" in ran.stderr
    assert "Traceback" not in ran.stderr
