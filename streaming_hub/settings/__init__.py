"""Every setting, typed, in one place: read from the environment, `.env.local` and `.env` (in that order).

Reads files and the environment only in `load`; `parse` is pure. `flask_server.py --help` and docs/reference/settings.md
are made from the table below.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streaming_hub.errors import SettingsError
from streaming_hub.settings import variables
from streaming_hub.settings.values import (
    boolean,
    choice,
    integer,
    listed,
    matching,
    origin,
    seconds,
    share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class RateLimit(msgspec.Struct, frozen=True):
    """At most `count` requests in `seconds`."""

    count: int
    seconds: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose. See `TABLE` for the meaning of each field, its unit and its default.

    Attributes:
        agent: what is handed to the agent process as it is.
        doubts: sentences about variables that look like settings and are none, to be logged at the start.
    """

    host: str | None = None
    port: int = 5000
    history: str = "sqlite:///data/events.db"
    history_max_events: int = 100_000
    history_max_age: float = 86_400.0
    history_sync: Literal["normal", "full"] = "normal"
    archive: str | None = None
    archive_max_age: float = 2_592_000.0
    archive_recordings: bool = True
    heartbeat: float = 15.0
    queue_size: int = 256
    max_clients: int = 10_000
    max_clients_per_address: int | None = None
    drain: float = 5.0
    cors_origins: tuple[str, ...] | None = None
    publish_keys: tuple[str, ...] = ()
    subscribe_keys: tuple[str, ...] = ()
    operator_keys: tuple[str, ...] = ()
    jwt_secret: str | None = None
    rate_limit: RateLimit | None = None
    trusted_proxies: tuple[str, ...] = ()
    allow_open: bool = False
    redact: str | None = None
    log_format: Literal["text", "json"] = "text"
    livekit_url: str | None = None
    livekit_api_key: str | None = None
    livekit_api_secret: str | None = None
    openai_api_key: str | None = None
    openai_base_url: str | None = None
    agent: dict[str, str] = {}  # msgspec copies the default for each instance
    doubts: tuple[str, ...] = ()


class Setting(msgspec.Struct, frozen=True):
    """One row of the table: the variable, the field that holds it, how it is read and what it means."""

    name: str
    field: str
    read: Callable[[str], Any]
    expects: str
    meaning: str
    secret: bool = False


def load(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    **overrides: Any,
) -> Settings:
    """Read the settings.

    Args:
        environ: variables that win over the files; the process's own by default.
        folder: where `.env.local` and `.env` lie; the working directory by default.
        **overrides: fields that win over everything (command-line options, tests).

    Raises:
        SettingsError: a value, or a line of a file, is malformed; names the variable, or file and line.
    """
    values, remarks = variables.read(folder or Path.cwd(), environ)
    settings = parse(values, **overrides)
    doubts = [doubt for name, remark in remarks.items() if (doubt := _weigh(name, remark))]
    return msgspec.structs.replace(settings, doubts=(*settings.doubts, *doubts)) if doubts else settings


def parse(values: Mapping[str, str], **overrides: Any) -> Settings:
    """Turn variables into settings; an empty value counts as not set.

    Raises:
        SettingsError: a value is malformed; names the variable.
    """
    fields: dict[str, Any] = {}
    for setting in TABLE:
        text = values.get(setting.name, "").strip()
        if text:
            fields[setting.field] = _read(setting, text)
    fields["agent"] = _agents(values)
    known = {*(setting.name for setting in TABLE), *AGENT_TABLE, *READ_ELSEWHERE}
    fields["doubts"] = variables.doubts(values, known)
    fields.update(overrides)
    if "history_max_age" in fields:
        # Whoever says how long events are kept means it for all that is kept of them.
        fields.setdefault("archive_max_age", fields["history_max_age"])
    return Settings(**fields)


def _weigh(name: str, remark: variables.Remark) -> str:
    """Return what to tell about how a value of ours is written, empty where there is nothing.

    Raises:
        SettingsError: what is behind a ` #` may be a comment or a part of the value.
    """
    setting = BY_NAME.get(name)
    if setting is None and name not in AGENT_TABLE:
        return ""
    if remark.whole is not None and (setting is None or _readable(setting, remark.whole)):
        raise SettingsError(
            f"{remark.place}: what follows # in {name} may be a comment or a part of the value; put the value"
            " in quotes, and a comment on a line of its own."
        )
    if remark.expands:
        return f"{remark.place}: {name} has a ${{...}}, which is not replaced here: the value is taken as written."
    return ""


def _readable(setting: Setting, text: str) -> bool:
    try:
        setting.read(text)
    except ValueError:
        return False
    return True


def _agents(values: Mapping[str, str]) -> dict[str, str]:
    """Return what the agent process gets, checked, but as it is."""
    found = {
        name: text for name, text in sorted(values.items()) if name.startswith("AGENT_") and text.strip()
    }
    for name in AGENT_TABLE.keys() & found.keys():
        _refuse_quotes(name, found[name])
    for setting in AGENT_CHECKS:
        if setting.name in found:
            _read(setting, found[setting.name])
    return found


def _refuse_quotes(name: str, text: str) -> None:
    """Refuse quotes around a value: `docker --env-file` passes them on, and a key with quotes opens nothing.

    Raises:
        SettingsError: there are some.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise SettingsError(
            f"{name}: there are quotes around its value; write it without them (`docker --env-file` passes them on)."
        )


def _read(setting: Setting, text: str) -> Any:
    _refuse_quotes(setting.name, text)
    try:
        return setting.read(text)
    except ValueError as error:
        shown = "(not shown)" if setting.secret else repr(text)
        raise SettingsError(f"{setting.name}={shown}: expected {setting.expects}.") from error


def _rate(text: str) -> RateLimit:
    match = re.fullmatch(r"([1-9]\d{0,8})\s*/\s*(second|minute)", text)
    if match is None:
        raise ValueError(text)
    return RateLimit(int(match[1]), 1 if match[2] == "second" else 60)


def _archive(text: str) -> str:
    if text.lower() == "off":
        return "off"
    return matching(r"sqlite:///[^\s?].*|postgresql\+psycopg://\S+")(text)


_URL = matching(r"(?:wss?|https?)://[^\s/]+\S*")

TABLE: Final[tuple[Setting, ...]] = (
    Setting(
        "STREAM_HOST",
        "host",
        matching(r"\S+"),
        "a host name or address",
        "Where the server listens. Unset: on 127.0.0.1 and, where there is IPv6, on ::1.",
    ),
    Setting("STREAM_PORT", "port", integer(0, 65535), "a port, 0 to 65535", "Its port; 0 takes a free one."),
    Setting(
        "STREAM_HISTORY",
        "history",
        matching(r"sqlite:///.+|memory://|redis://.*"),
        "sqlite:///PATH or memory://",
        "Where events are kept. `memory://` forgets them with the process, and keeps the newest 512 MB at most.",
    ),
    Setting(
        "STREAM_HISTORY_MAX_EVENTS",
        "history_max_events",
        integer(1, 100_000_000),
        "a count from 1",
        "How many of the newest events are kept.",
    ),
    Setting(
        "STREAM_HISTORY_MAX_AGE",
        "history_max_age",
        seconds(1, 1e9),
        "seconds, from 1",
        "How long an event is kept, in seconds.",
    ),
    Setting(
        "STREAM_HISTORY_SYNC",
        "history_sync",
        choice("normal", "full"),
        "normal or full",
        "What an acknowledged event survives: `normal` a crash of the process, `full` a power cut as well (slower).",
    ),
    Setting(
        "STREAM_ARCHIVE",
        "archive",
        _archive,
        "sqlite:///PATH, postgresql+psycopg://USER@HOST/DATABASE or off",
        "Where sessions are kept for looking back (an SQLAlchemy URL). Unset: archive.db beside the history's file; "
        "off for a history in memory.",
        secret=True,
    ),
    Setting(
        "STREAM_ARCHIVE_MAX_AGE",
        "archive_max_age",
        seconds(0, 1e9),
        "seconds, 0 or more",
        "How long a session is kept after its end, in seconds; 0 keeps everything. Unset: as STREAM_HISTORY_MAX_AGE if "
        "that is set.",
    ),
    Setting(
        "STREAM_ARCHIVE_RECORDINGS",
        "archive_recordings",
        boolean,
        "on or off",
        "Whether the raw events of sessions that have ended are kept with them.",
    ),
    Setting(
        "STREAM_HEARTBEAT",
        "heartbeat",
        seconds(0.1, 3600),
        "seconds, 0.1 to 3600",
        "Seconds between two heartbeats of a stream.",
    ),
    Setting(
        "STREAM_QUEUE_SIZE",
        "queue_size",
        integer(1, 1_000_000),
        "a count from 1",
        "How many events wait in memory for one slow client before it is served from the history.",
    ),
    Setting(
        "STREAM_MAX_CLIENTS",
        "max_clients",
        integer(1, 1_000_000),
        "a count from 1",
        "How many streams may be open at once (also limited by the file descriptors).",
    ),
    Setting(
        "STREAM_MAX_CLIENTS_PER_ADDRESS",
        "max_clients_per_address",
        integer(1, 1_000_000),
        "a count from 1",
        "How many streams one address may hold open; not limited on loopback, 100 elsewhere unless set.",
    ),
    Setting(
        "STREAM_DRAIN",
        "drain",
        seconds(0, 8),
        "seconds, 0 to 8",
        "Seconds over which open streams are closed when the server stops.",
    ),
    Setting(
        "STREAM_CORS_ORIGINS",
        "cors_origins",
        listed(origin),
        "origins like https://app.example.com, separated by commas",
        "Which web origins may use the hub. Unset: localhost, and `null` (a page from disk) while it is open.",
    ),
    Setting(
        "STREAM_PUBLISH_KEYS",
        "publish_keys",
        listed(),
        "keys separated by commas",
        "Keys that may publish. Unset: anyone who reaches the server may.",
        secret=True,
    ),
    Setting(
        "STREAM_SUBSCRIBE_KEYS",
        "subscribe_keys",
        listed(),
        "keys separated by commas",
        "Keys that may read. Unset: anyone who reaches the server may.",
        secret=True,
    ),
    Setting(
        "STREAM_OPERATOR_KEYS",
        "operator_keys",
        listed(),
        "keys separated by commas",
        "Keys that may do everything. Unset: anyone who reaches the server may.",
        secret=True,
    ),
    Setting(
        "STREAM_JWT_SECRET",
        "jwt_secret",
        matching(r".{32,}"),
        "at least 32 characters",
        "The secret of HS256 tokens that your own back end mints; closes all scopes.",
        secret=True,
    ),
    Setting(
        "STREAM_RATE_LIMIT",
        "rate_limit",
        _rate,
        "N/second or N/minute",
        "Limit on publishing per key or address. Unset: none on loopback, 100/second elsewhere.",
    ),
    Setting(
        "STREAM_TRUSTED_PROXIES",
        "trusted_proxies",
        listed(),
        "addresses or networks separated by commas",
        "Proxies whose X-Forwarded-For is believed.",
    ),
    Setting(
        "STREAM_ALLOW_OPEN",
        "allow_open",
        boolean,
        "1 or 0",
        "Lets the server start without keys where it is reachable from other machines.",
    ),
    Setting(
        "STREAM_REDACT",
        "redact",
        matching(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"),
        "module:name",
        "A Python callable that changes each event (a dict) before it is stored.",
    ),
    Setting("STREAM_LOG_FORMAT", "log_format", choice("text", "json"), "text or json", "How log lines look."),
    Setting("LIVEKIT_URL", "livekit_url", _URL, "a URL like ws://localhost:7880", "The LiveKit server."),
    Setting("LIVEKIT_API_KEY", "livekit_api_key", str, "a key", "LiveKit's API key."),
    Setting(
        "LIVEKIT_API_SECRET", "livekit_api_secret", str, "a secret", "LiveKit's API secret.", secret=True
    ),
    Setting("OPENAI_API_KEY", "openai_api_key", str, "a key", "The key of the model APIs.", secret=True),
    Setting(
        "OPENAI_BASE_URL",
        "openai_base_url",
        _URL,
        "a URL like http://localhost:8000/v1",
        "An OpenAI-compatible endpoint in place of OpenAI's (local models).",
    ),
)

AGENT_TABLE: Final[dict[str, str]] = {
    "AGENT_EXECUTOR": "Where LiveKit runs each session: `thread` (the default) starts quicker and takes less memory; "
    "`process` keeps a crash or a busy loop away from the other sessions.",
    "AGENT_INSTRUCTIONS": "What the assistant is told about itself.",
    "AGENT_LANGUAGE": "The language that is spoken, like `en`.",
    "AGENT_LLM_MODEL": "The language model's name.",
    "AGENT_LOAD_THRESHOLD": "Share of the machine's CPU, above 0 and at most 1, above which the worker takes no new "
    "room, and says so. Unset: no room is refused (LiveKit's own default, 0.7, counts other programs too).",
    "AGENT_NAME": "The name by which LiveKit sends for the agent; unset: it comes to every new room.",
    "AGENT_REHEARSAL_AUDIO": "A folder with recordings to play instead of the rehearsal's own (16 kHz, mono, 16 bit; "
    "same file names).",
    "AGENT_SPEECH_TIMEOUT": "Seconds that speech recognition and synthesis have for their next byte (default 10). Then "
    "an `error` tells it, and they are asked again.",
    "AGENT_STT_MODEL": "The speech recognition model's name.",
    "AGENT_STT_REALTIME": "`1`: speech recognition over OpenAI's realtime websocket; words appear while they are "
    "spoken, not only at the end of an utterance.",
    "AGENT_TTS_MODEL": "The speech synthesis model's name.",
    "AGENT_VOICE": "The voice of the speech synthesis.",
}
"""What the agent process reads by itself; passed on as it is."""

AGENT_CHECKS: Final = tuple(
    Setting(name, "agent", check, expects, AGENT_TABLE[name])
    for name, check, expects in (
        ("AGENT_EXECUTOR", matching("thread|process"), "thread or process"),
        ("AGENT_LOAD_THRESHOLD", share, "a number above 0, at most 1"),
        ("AGENT_SPEECH_TIMEOUT", seconds(0.1, 600), "seconds, 0.1 to 600"),
    )
)
"""Of these, what the agent process would refuse: told when the hub starts, not when the agent does."""

BY_NAME: Final = {setting.name: setting for setting in (*TABLE, *AGENT_CHECKS)}

READ_ELSEWHERE: Final = (
    "STREAM_URL",
    "STREAM_PUBLISH_KEY",
    "STREAM_KEY",
    "AGENT_MODE",
    "AGENT_ROOM",
    "AGENT_SPOOL_DIR",
    "AGENT_SUPERVISED",
    "AGENT_CONTROL_FD",
)
"""What agents that the hub did not start, and the examples, read; no settings of the hub."""
