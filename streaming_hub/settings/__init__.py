"""Every setting, typed: read from the environment, then `.env.local`, then `.env`; the first value found wins.

Reads files and the environment only in `load`; `parse` is pure. `flask_server.py --help` and docs/reference/settings.md
are generated from its table.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streaming_hub.errors import SettingsError
from streaming_hub.settings import variables
from streaming_hub.settings.values import (
    archive,
    boolean,
    choice,
    host,
    integer,
    listed,
    matching,
    numbers,
    origin,
    seconds,
    share,
    url,
    watched,
    webhook_secret,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


DEFAULT_WEBHOOK_TYPES: Final = ("session_started", "session_ended", "session_report", "error")
DEFAULT_WEBHOOK_RETRIES: Final = (
    5.0,
    300.0,
    1800.0,
    7200.0,
    18_000.0,
    36_000.0,
    50_400.0,
    72_000.0,
    86_400.0,
)


class RateLimit(msgspec.Struct, frozen=True):
    """At most `count` requests in `seconds`."""

    count: int
    seconds: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's settings. See `TABLE` for the meaning, unit and default of each field.

    Attributes:
        agent: variables passed to the agent process unchanged.
        demo: number of simulated calls; only `--demo` sets it.
        doubts: warnings to log at start, such as variables that look like misspelt settings.
    """

    host: str | None = None
    port: int = 5000
    history: str = "sqlite:///data/events.db"
    redis_prefix: str = "hub"
    node: str | None = None
    history_max_events: int = 100_000
    history_max_age: float = 86_400.0
    history_sync: Literal["normal", "full"] = "normal"
    archive: str | None = None
    archive_max_age: float = 2_592_000.0
    archive_recordings: bool = True
    archive_audio: bool = False
    archive_audio_dir: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    webhook_types: tuple[str, ...] = DEFAULT_WEBHOOK_TYPES
    webhook_retries: tuple[float, ...] = DEFAULT_WEBHOOK_RETRIES
    webhook_disable_after: float = 432_000.0
    webhook_allow_private: bool = False
    watch: tuple[str, ...] = ()
    observability: bool | None = None
    observability_prompts: bool = False
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
    demo: int = 0
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
        environ: variables that override the files; the process's own by default.
        folder: the directory of `.env.local` and `.env`; the working directory by default.
        **overrides: fields that override everything (command-line options, tests).

    Raises:
        SettingsError: a value, or a line of a file, is malformed; names the variable, or file and line.
    """
    values, remarks = variables.read(folder or Path.cwd(), environ)
    settings = parse(values, **overrides)
    doubts = [doubt for name, remark in remarks.items() if (doubt := _weigh(name, remark))]
    doubts += variables.not_files(folder or Path.cwd())
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
    known = {*(setting.name for setting in TABLE), *AGENT_TABLE}
    fields["doubts"] = (
        *variables.doubts(values, known, READ_ELSEWHERE),
        *variables.idle(values, WITHOUT),
    )
    fields.update(overrides)
    if "history_max_age" in fields:
        # A limit on the age of events applies to every copy of them.
        fields.setdefault("archive_max_age", fields["history_max_age"])
    return Settings(**fields)


def _weigh(name: str, remark: variables.Remark) -> str:
    """Return a warning about how a setting is written in a file, or an empty string.

    Raises:
        SettingsError: the text after ` #` may be a comment or part of the value.
    """
    setting = BY_NAME.get(name)
    if setting is None and name not in AGENT_TABLE:
        return ""
    if remark.whole is not None and (setting is None or _readable(setting, remark.whole)):
        raise SettingsError(
            f"{remark.place}: the text after # in {name} may be a comment or part of the value; put the value"
            " in quotes, and any comment on its own line."
        )
    if remark.expands:
        return (
            f"{remark.place}: {name} contains ${{...}}, which is not expanded; the value is used as written."
        )
    return ""


def _readable(setting: Setting, text: str) -> bool:
    try:
        setting.read(text)
    except ValueError:
        return False
    return True


def _agents(values: Mapping[str, str]) -> dict[str, str]:
    """Return the checked, unchanged settings for the agent process."""
    found = {
        name: text for name, text in sorted(values.items()) if name.startswith("AGENT_") and text.strip()
    }
    for name, text in found.items():
        if "\0" in text:
            raise SettingsError(f"{name}: the value contains a NUL, which no process can be given.")
        if name in AGENT_TABLE:
            _refuse_quotes(name, text)
    for setting in AGENT_CHECKS:
        if setting.name in found:
            _read(setting, found[setting.name])
    return found


def _refuse_quotes(name: str, text: str) -> None:
    """Refuse quotes around a value: `docker --env-file` passes them on, and a quoted key never matches.

    Raises:
        SettingsError: the value is quoted.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise SettingsError(
            f"{name}: the value is quoted; remove the quotes (`docker --env-file` passes them on)."
        )


def _read(setting: Setting, text: str) -> Any:
    _refuse_quotes(setting.name, text)
    try:
        return setting.read(text)
    except ValueError as error:
        # A URL may contain a password.
        shown = "(not shown)" if setting.secret or "@" in text else repr(text)
        raise SettingsError(f"{setting.name}={shown}: expected {setting.expects}.") from error


def _rate(text: str) -> RateLimit:
    match = re.fullmatch(r"([1-9][0-9]{0,8})\s*/\s*(second|minute)", text)
    if match is None:
        raise ValueError(text)
    return RateLimit(int(match[1]), 1 if match[2] == "second" else 60)


_HEADER = matching(r"[!-~]+")  # For secrets that other programs put into a header.
_ASCII_KEY: Final = "a key of ASCII characters, without spaces"
_KEYS = listed(matching(r"[^\x00-\x1f\x7f]+"))  # A header must not contain control characters.

TABLE: Final[tuple[Setting, ...]] = (
    Setting(
        "STREAM_HOST",
        "host",
        host,
        "a host name or address without scheme, brackets and port, such as 127.0.0.1 or ::1",
        "Address to listen on. Unset: 127.0.0.1 and, if IPv6 is available, ::1.",
    ),
    Setting(
        "STREAM_PORT",
        "port",
        integer(0, 65535),
        "a port, 0 to 65535",
        "Port to listen on; 0 picks a free one.",
    ),
    Setting(
        "STREAM_HISTORY",
        "history",
        matching(r"sqlite:///(?!~|:memory:)[^?]+|memory://|(?:redis|rediss|unix)://.+"),
        "sqlite:///PATH (without a leading ~ and without ?), memory://, redis://[USER:PASSWORD@]HOST:PORT/DB, "
        "rediss://... or unix:///PATH?db=N",
        "Where events are stored. `memory://` holds at most the newest 512 MB and loses them when the process ends. "
        "A Redis or Valkey server (7.0 or later) lets several nodes form one hub.",
    ),
    Setting(
        "STREAM_REDIS_PREFIX",
        "redis_prefix",
        matching(r"[A-Za-z0-9_.:-]{1,64}"),
        "1 to 64 letters, digits, `_`, `.`, `:` or `-`",
        "Prefix of the hub's keys in Redis. Nodes with the same server and prefix form one hub.",
    ),
    Setting(
        "STREAM_NODE",
        "node",
        matching(r"[A-Za-z0-9_.-]{1,64}"),
        "1 to 64 letters, digits, `_`, `.` or `-`",
        "Name of this process in health, agent status and metrics, unique among nodes. Unset: a new one at each start.",
    ),
    Setting(
        "STREAM_HISTORY_MAX_EVENTS",
        "history_max_events",
        integer(1, 100_000_000),
        "a count from 1",
        "Maximum number of stored events; the oldest are removed first.",
    ),
    Setting(
        "STREAM_HISTORY_MAX_AGE",
        "history_max_age",
        seconds(1, 1e9),
        "seconds, from 1",
        "How long an event is stored, in seconds.",
    ),
    Setting(
        "STREAM_HISTORY_SYNC",
        "history_sync",
        choice("normal", "full"),
        "normal or full",
        "Durability of an acknowledged event: `normal` survives a process crash, `full` also a power cut (slower).",
    ),
    Setting(
        "STREAM_ARCHIVE",
        "archive",
        archive,
        "sqlite:///PATH, postgresql+psycopg://USER:PASSWORD@HOST/DATABASE (`%40` for @ in the password) or off",
        "Database for past sessions (an SQLAlchemy URL). Unset: archive.db beside the history's file, or off if the "
        "history is in memory.",
        secret=True,
    ),
    Setting(
        "STREAM_ARCHIVE_MAX_AGE",
        "archive_max_age",
        seconds(0, 1e9),
        "seconds, 0 or more",
        "How long an ended session is archived, in seconds; 0 means forever. Unset: STREAM_HISTORY_MAX_AGE, if that is "
        "set.",
    ),
    Setting(
        "STREAM_ARCHIVE_RECORDINGS",
        "archive_recordings",
        boolean,
        "on or off",
        "Whether to archive the raw events of ended sessions as well.",
    ),
    Setting(
        "STREAM_ARCHIVE_AUDIO",
        "archive_audio",
        boolean,
        "on or off",
        "Whether to store the call audio that LiveKit agents upload.",
    ),
    Setting(
        "STREAM_ARCHIVE_AUDIO_DIR",
        "archive_audio_dir",
        matching(r"(?!~)[^\x00]+"),
        "a directory (without ~ at its start)",
        "Where audio is stored. Required with PostgreSQL; all nodes must share it.",
    ),
    Setting(
        "STREAM_WEBHOOK_URL",
        "webhook_url",
        matching(r"https?://\S+"),
        "a URL like https://example.com/hook",
        "URL of a webhook. Create others with `POST /api/webhooks`.",
        secret=True,
    ),
    Setting(
        "STREAM_WEBHOOK_SECRET",
        "webhook_secret",
        webhook_secret,
        "whsec_ and base64 of 24 to 64 bytes",
        "Secret that signs requests to STREAM_WEBHOOK_URL; required with it.",
        secret=True,
    ),
    Setting(
        "STREAM_WEBHOOK_TYPES",
        "webhook_types",
        listed(matching(r"\*|[A-Za-z][A-Za-z0-9_.:-]{0,63}")),
        "event types separated by commas, or *",
        "Event types sent to STREAM_WEBHOOK_URL; `*` means all.",
    ),
    Setting(
        "STREAM_WEBHOOK_RETRIES",
        "webhook_retries",
        numbers(0.01, 604_800),
        "seconds separated by commas, each 0.01 to 604800",
        "Seconds before each retry of a webhook delivery (20 % jitter); after the last one the delivery has failed.",
    ),
    Setting(
        "STREAM_WEBHOOK_DISABLE_AFTER",
        "webhook_disable_after",
        seconds(0.1, 1e9),
        "seconds, from 0.1",
        "Seconds after which a webhook that keeps failing is disabled, counted from the first failure.",
    ),
    Setting(
        "STREAM_WEBHOOK_ALLOW_PRIVATE",
        "webhook_allow_private",
        boolean,
        "1 or 0",
        "Whether webhooks may go to addresses that are not public, such as loopback and private ones, and to these by "
        "http.",
    ),
    Setting(
        "STREAM_WATCH",
        "watch",
        watched,
        "off, all, or room names separated by commas, with * and ? as wildcards",
        "LiveKit rooms that the hub joins to watch agents that do not report to it themselves.",
    ),
    Setting(
        "STREAM_OBSERVABILITY",
        "observability",
        boolean,
        "on or off",
        "Whether to accept the data that LiveKit agents upload to `/observability/`.",
    ),
    Setting(
        "STREAM_OBSERVABILITY_PROMPTS",
        "observability_prompts",
        boolean,
        "on or off",
        "Whether to store the prompts and whole model inputs in those uploads.",
    ),
    Setting(
        "STREAM_HEARTBEAT",
        "heartbeat",
        seconds(0.1, 3600),
        "seconds, 0.1 to 3600",
        "Seconds between heartbeats on a stream.",
    ),
    Setting(
        "STREAM_QUEUE_SIZE",
        "queue_size",
        integer(1, 1_000_000),
        "a count from 1",
        "Maximum number of events queued in memory for one client; a slower one reads from the history instead.",
    ),
    Setting(
        "STREAM_MAX_CLIENTS",
        "max_clients",
        integer(1, 1_000_000),
        "a count from 1",
        "Maximum number of open streams (also limited by file descriptors).",
    ),
    Setting(
        "STREAM_MAX_CLIENTS_PER_ADDRESS",
        "max_clients_per_address",
        integer(1, 1_000_000),
        "a count from 1",
        "Maximum number of open streams per address. Unset: unlimited on loopback, 100 elsewhere.",
    ),
    Setting(
        "STREAM_DRAIN",
        "drain",
        seconds(0, 8),
        "seconds, 0 to 8",
        "Seconds over which a stopping server spreads the closing of open streams.",
    ),
    Setting(
        "STREAM_CORS_ORIGINS",
        "cors_origins",
        listed(origin),
        "origins as browsers send them, like https://app.example.com (no path, no default port), separated by commas",
        "Web origins that may use the hub. Unset: localhost and, while the hub is open, `null` (a page from disk).",
    ),
    Setting(
        "STREAM_PUBLISH_KEYS",
        "publish_keys",
        _KEYS,
        "keys separated by commas",
        "Keys that allow publishing. Unset: clients on this machine need none.",
        secret=True,
    ),
    Setting(
        "STREAM_SUBSCRIBE_KEYS",
        "subscribe_keys",
        _KEYS,
        "keys separated by commas",
        "Keys that allow reading. Unset: clients on this machine need none.",
        secret=True,
    ),
    Setting(
        "STREAM_OPERATOR_KEYS",
        "operator_keys",
        _KEYS,
        "keys separated by commas",
        "Keys that allow everything. Unset: clients on this machine need none.",
        secret=True,
    ),
    Setting(
        "STREAM_JWT_SECRET",
        "jwt_secret",
        matching(r".{32,}"),
        "at least 32 characters",
        "Secret for HS256 tokens issued by your own back end. If set, no scope is open without a credential.",
        secret=True,
    ),
    Setting(
        "STREAM_RATE_LIMIT",
        "rate_limit",
        _rate,
        "N/second or N/minute",
        "Publishing limit per key or address. Unset: none on loopback, 100/second elsewhere.",
    ),
    Setting(
        "STREAM_TRUSTED_PROXIES",
        "trusted_proxies",
        listed(),
        "addresses or networks separated by commas",
        "Proxies whose X-Forwarded-For header is trusted.",
    ),
    Setting(
        "STREAM_ALLOW_OPEN",
        "allow_open",
        boolean,
        "1 or 0",
        "Whether the server may start without keys even if other machines can reach it.",
    ),
    Setting(
        "STREAM_REDACT",
        "redact",
        matching(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*"),
        "module:name",
        "Python callable that changes or removes fields of each event (a dict) before it is stored.",
    ),
    Setting("STREAM_LOG_FORMAT", "log_format", choice("text", "json"), "text or json", "Log format."),
    Setting(
        "LIVEKIT_URL",
        "livekit_url",
        url("ws", "wss", "http", "https"),
        "a URL like ws://localhost:7880",
        "URL of the LiveKit server.",
    ),
    Setting(
        "LIVEKIT_API_KEY",
        "livekit_api_key",
        _HEADER,
        "a key of ASCII characters, without spaces",
        "LiveKit API key.",
    ),
    Setting("LIVEKIT_API_SECRET", "livekit_api_secret", str, "a secret", "LiveKit API secret.", secret=True),
    Setting("OPENAI_API_KEY", "openai_api_key", _HEADER, _ASCII_KEY, "API key for the models.", secret=True),
    Setting(
        "OPENAI_BASE_URL",
        "openai_base_url",
        url("http", "https"),
        "a URL like http://localhost:8000/v1",
        "OpenAI-compatible endpoint to use instead of OpenAI's, such as a local one.",
    ),
)

AGENT_TABLE: Final[dict[str, str]] = {
    "AGENT_EXECUTOR": "How LiveKit runs each session: `thread` (the default) starts faster and uses less memory; "
    "`process` isolates a crash or a busy loop from the other sessions.",
    "AGENT_INSTRUCTIONS": "System prompt of the assistant.",
    "AGENT_LANGUAGE": "Spoken language, such as `en`.",
    "AGENT_LLM_MODEL": "Name of the language model.",
    "AGENT_LOAD_THRESHOLD": "CPU load, above 0 and at most 1, beyond which the worker accepts no new rooms and reports "
    "it. Unset: never refuse a room (LiveKit's own default, 0.7, counts other programs too).",
    "AGENT_NAME": "LiveKit agent name for explicit dispatch. If unset, the agent joins every new room.",
    "AGENT_REHEARSAL_AUDIO": "Directory with recordings to play instead of the built-in ones (16 kHz, mono, 16 bit; "
    "same file names).",
    "AGENT_SPEECH_TIMEOUT": "Seconds to wait for the next byte from speech recognition or synthesis (default 10) "
    "before reporting an `error` and retrying.",
    "AGENT_STT_MODEL": "Name of the speech recognition model.",
    "AGENT_STT_REALTIME": "`1` uses OpenAI's realtime websocket for speech recognition; words appear while they are "
    "spoken, not only after an utterance.",
    "AGENT_TTS_MODEL": "Name of the speech synthesis model.",
    "AGENT_VOICE": "Voice for speech synthesis.",
}
"""Settings that the agent process reads; passed on unchanged."""

AGENT_CHECKS: Final = tuple(
    Setting(name, "agent", check, expects, AGENT_TABLE[name])
    for name, check, expects in (
        ("AGENT_EXECUTOR", matching("thread|process"), "thread or process"),
        ("AGENT_LOAD_THRESHOLD", share, "a number above 0, at most 1"),
        ("AGENT_SPEECH_TIMEOUT", seconds(0.1, 600), "seconds, 0.1 to 600"),
        ("AGENT_STT_REALTIME", boolean, "1 or 0"),
    )
)
"""Agent settings checked when the hub starts, so that a bad value does not surface only when the agent does."""

BY_NAME: Final = {setting.name: setting for setting in (*TABLE, *AGENT_CHECKS)}

WITHOUT: Final = {
    "STREAM_ARCHIVE_AUDIO_DIR": "STREAM_ARCHIVE_AUDIO",
    "STREAM_WEBHOOK_SECRET": "STREAM_WEBHOOK_URL",
    "STREAM_WEBHOOK_TYPES": "STREAM_WEBHOOK_URL",
}
"""Settings that have no effect unless another one is set."""

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
"""Variables read by the examples and by agents that the hub did not start; not settings of the hub."""
