"""The agent process's own settings, checked before anything heavy is imported, so that a mistake is reported at once.

Models, voice, language and instructions (`AGENT_LLM_MODEL` and so on) are read where they are used,
`agent.session` and `agent.assistant`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = ("livekit", "rehearsal")
EXECUTORS = ("thread", "process")
LIVEKIT = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


class SettingError(ValueError):
    """A setting is missing or wrong; the text names it and says what to do."""


@dataclass(frozen=True)
class Settings:
    """What this process runs.

    Attributes:
        mode: `livekit` or `rehearsal`.
        room: The rehearsal's room.
        agent_name: The name for LiveKit's explicit dispatch; if empty, the agent joins every new room.
        executor: Whether LiveKit runs each session in a `thread` or in a `process` of its own.
        load_threshold: CPU load of the machine, 0 to 1, above which no new room is taken; infinite: never.
        livekit_url: The LiveKit server.
    """

    mode: str
    room: str
    agent_name: str
    executor: str
    load_threshold: float
    livekit_url: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check the settings.

        Raises:
            SettingError: One is missing or wrong.
        """
        mode = _one_of(environment, "AGENT_MODE", MODES, default="rehearsal")
        if mode == "livekit":
            _check_livekit(environment)
        speech_timeout(environment)  # for its refusal: the value is read where sessions are made
        return cls(
            mode=mode,
            room=environment.get("AGENT_ROOM") or "rehearsal",
            agent_name=environment.get("AGENT_NAME", ""),
            executor=_one_of(environment, "AGENT_EXECUTOR", EXECUTORS, default="thread"),
            load_threshold=_load_threshold(environment.get("AGENT_LOAD_THRESHOLD", "")),
            livekit_url=environment.get("LIVEKIT_URL", ""),
        )


def _check_livekit(environment: Mapping[str, str]) -> None:
    missing = [name for name in LIVEKIT if not environment.get(name)]
    model = environment.get("OPENAI_API_KEY") or environment.get("OPENAI_BASE_URL")
    if missing:
        missing += [] if model else ["OPENAI_API_KEY (or OPENAI_BASE_URL)"]
        named = f"{missing[0]} is" if len(missing) == 1 else f"{', '.join(missing)} are"
        raise SettingError(
            f"{named} not set; set what is missing where the hub is started and start it again, or start the"
            " agent in rehearsal mode"
        )
    url = environment["LIVEKIT_URL"]
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.netloc:
        raise SettingError(f"LIVEKIT_URL is {url!r}; it must look like wss://host or ws://host:7880")
    if not model:
        raise SettingError(
            "OPENAI_API_KEY is not set; set it, or OPENAI_BASE_URL for a local OpenAI-compatible server, where the"
            " hub is started, and start it again"
        )


def _one_of(environment: Mapping[str, str], name: str, choices: tuple[str, ...], *, default: str) -> str:
    value = environment.get(name) or default
    if value not in choices:
        raise SettingError(f"{name} is {value!r}; it must be {' or '.join(choices)}")
    return value


def speech_timeout(environment: Mapping[str, str]) -> float:
    """Read AGENT_SPEECH_TIMEOUT: the seconds that speech recognition and synthesis have for the next byte.

    Raises:
        SettingError: It is no number of seconds.
    """
    text = environment.get("AGENT_SPEECH_TIMEOUT") or "10"  # what LiveKit gives a language model
    seconds = _number(text)
    if not 0.1 <= seconds <= 600:
        raise SettingError(
            f"AGENT_SPEECH_TIMEOUT is {text!r}; it must be a number of seconds from 0.1 to 600"
        )
    return seconds


def _load_threshold(text: str) -> float:
    # LiveKit's own default, 0.7 of the whole machine, lets a busy neighbor refuse rooms silently
    value = _number(text or "inf")
    if text and not 0 < value <= 1:
        raise SettingError(f"AGENT_LOAD_THRESHOLD is {text!r}; it must be a number above 0, at most 1")
    return value


def _number(text: str) -> float:
    try:
        # Python alone reads `1_5` as 15, and digits of any script.
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan
