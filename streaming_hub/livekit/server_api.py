"""Client for livekit-server's API (Twirp with JSON): list rooms and participants, dispatch an agent.

Blocks on the network: call it from a thread of its own.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from streaming_hub.livekit.webhooks import is_watcher

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 5.0


class Present(msgspec.Struct, frozen=True):
    """A participant in a room.

    Attributes:
        agent: whether it is an agent, not a person.
        joined_at: seconds since 1970, on livekit-server's clock.
    """

    identity: str
    agent: bool
    joined_at: float


class Open(msgspec.Struct, frozen=True):
    """A room that is open.

    Attributes:
        created_at: seconds since 1970, on livekit-server's clock; whole seconds if it reports no more.
    """

    name: str
    created_at: float


class ServiceError(Exception):
    """livekit-server did not respond, or refused. The message has the request and the response."""


class Tokens(Protocol):
    """Makes the tokens for requests to livekit-server."""

    def for_room(self, room: str) -> str:
        """Return a token for requests about one room."""

    def for_listing(self) -> str:
        """Return a token for listing rooms."""


class Service:
    """livekit-server's API, as far as the hub needs it.

    Args:
        url: LIVEKIT_URL.
        tokens: makes the tokens of its requests.
    """

    def __init__(self, url: str, tokens: Tokens) -> None:
        # Takes 50 ms, which a hub without livekit-server need not spend at its start.
        import requests  # noqa: PLC0415

        self._requests = requests
        scheme, _, rest = url.partition("://")
        self._url = f"{scheme.replace('ws', 'http', 1)}://{rest.rstrip('/')}/twirp/livekit."
        self._tokens = tokens

    def opened(self) -> list[Open]:
        """Return the open rooms.

        Raises:
            ServiceError: livekit-server cannot be reached or refuses.
        """
        answer = self._ask("RoomService/ListRooms", self._tokens.for_listing(), {})
        return [
            Open(str(one.get("name", "")), _moment(one, "creation_time")) for one in answer.get("rooms", [])
        ]

    def present(self, room: str) -> list[Present]:
        """Return the participants in a room; an empty result if there is no such room.

        Raises:
            ServiceError: livekit-server cannot be reached or refuses.
        """
        answer = self._ask("RoomService/ListParticipants", self._tokens.for_room(room), {"room": room})
        people = answer.get("participants", [])
        return [
            one
            for each in people
            if each.get("state") != "DISCONNECTED"
            and not is_watcher((one := _present(each)).identity, agent=one.agent)
        ]

    def dispatch(self, room: str, agent_name: str) -> None:
        """Send an agent to a room.

        Args:
            room: has to exist.
            agent_name: empty for the worker without a name.

        Raises:
            ServiceError: livekit-server cannot be reached or refuses.
        """
        question = {"room": room, "agent_name": agent_name}
        self._ask("AgentDispatchService/CreateDispatch", self._tokens.for_room(room), question)

    def _ask(self, method: str, token: str, question: dict[str, str]) -> dict[str, Any]:
        asked = f"{method} for {question['room']!r}" if question else method
        try:
            with self._requests.Session() as session:
                session.trust_env = False
                answer = session.post(
                    self._url + method,
                    json=question,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                    allow_redirects=False,
                )
                if answer.status_code == 404 and answer.headers.get("Content-Type", "").startswith(
                    "application/json"
                ):
                    return {}  # Twirp's not_found: no such room
                if answer.status_code != 200:
                    raise ServiceError(f"{asked}: {answer.status_code} {answer.text[:200]}")
                body: object = answer.json()
        except self._requests.RequestException as error:
            raise ServiceError(f"{asked}: {error}") from error
        return body if isinstance(body, dict) else {}


def _present(one: dict[str, Any]) -> Present:
    agent = str(one.get("kind", "")).upper() == "AGENT"
    return Present(str(one.get("identity", "")), agent, _moment(one, "joined_at"))


def _moment(one: dict[str, Any], name: str) -> float:
    """Return a time in seconds; newer servers also send milliseconds, and int64 arrive as strings. 0 if absent."""
    first, _, second = name.partition("_")
    camel = first + second.title()
    milliseconds = str(one.get(f"{name}_ms") or one.get(f"{camel}Ms") or 0)
    seconds = str(one.get(name) or one.get(camel) or 0)
    if milliseconds.isdigit() and milliseconds != "0":
        return int(milliseconds) / 1000
    return float(seconds) if seconds.isdigit() else 0.0
