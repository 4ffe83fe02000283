"""A hub with webhooks for tests: how its webhooks are asked for, and the process that delivers."""

from __future__ import annotations

from typing import Any, ClassVar

import requests

from tests.kit.hub import Hub
from tests.kit.proc import child
from tests.streaming_hub.server.wire import PATIENCE
from tests.streaming_hub.web.api.archiving import eventually

LOCAL = {"STREAM_WEBHOOK_ALLOW_PRIVATE": "1", "STREAM_WEBHOOK_RETRIES": "0.2,0.2,0.2,0.2"}


class WebhookHub(Hub):
    """A hub, and how its webhooks are asked for."""

    headers: ClassVar[dict[str, str]] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        return requests.request(
            method,
            f"{self.url}/api/webhooks{path}",
            json=body,
            headers=self.headers | headers,
            timeout=PATIENCE,
        )

    def create(self, url: str, **fields: Any) -> dict[str, Any]:
        # 503 as long as its process is being started, which on a busy machine takes longer than a request waits.
        answer = eventually(
            lambda: self.ask("POST", "", {"url": url, **fields}), lambda found: found.status_code != 503, 60
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def one(self, name: str) -> dict[str, Any]:
        return self.ask("GET", f"/{name}").json()

    def delete_all(self) -> None:
        for one in self.ask("GET", "").json()["webhooks"]:
            assert self.ask("DELETE", f"/{one['id']}").status_code == 204

    def deliveries(self, name: str, query: str = "") -> list[dict[str, Any]]:
        return self.ask("GET", f"/{name}/deliveries{query}").json()["deliveries"]

    def wait_for_states(self, name: str, *states: str) -> list[dict[str, Any]]:
        """Wait until the newest deliveries have these states."""
        return eventually(
            lambda: self.deliveries(name), lambda found: [one["state"] for one in found] == list(states)
        )

    def publish(self, *events: dict[str, Any]) -> list[str]:
        answer = self.post(list(events), **self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["ids"]


def note(room: str | None = "a", number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "note", "number": number, **({} if room is None else {"room": room}), **fields}


def webhook_pid(hub: WebhookHub) -> int:
    return child(hub.process.pid, "outlets.webhooks.worker")
