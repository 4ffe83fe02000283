"""Generate the tables of docs/reference/settings.md from streaming_hub/settings.

Run `uv run python -m docs.tools.make_settings`. The tables stand between two marks; the text around them is written
by hand. A test fails if they are out of date.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from docs.tools.made_part import replaced
from streaming_hub.settings import AGENT_TABLE, TABLE, Settings, values

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "reference" / "settings.md"

GROUPS: Final = (
    (
        "Server",
        (
            "STREAM_HOST",
            "STREAM_PORT",
            "STREAM_NODE",
            "STREAM_DRAIN",
            "STREAM_LOG_FORMAT",
            "STREAM_TRUSTED_PROXIES",
        ),
    ),
    ("History", ("STREAM_HISTORY", "STREAM_REDIS", "STREAM_REDACT")),
    ("Archive", ("STREAM_ARCHIVE",)),
    ("Any agent", ("STREAM_WATCH", "STREAM_OBSERVABILITY")),
    ("Webhooks", ("STREAM_WEBHOOK_",)),
    ("Streams", ("STREAM_HEARTBEAT", "STREAM_QUEUE_SIZE", "STREAM_MAX_CLIENTS")),
    ("Access and limits", ("STREAM_",)),
    ("LiveKit and models", ("LIVEKIT_", "OPENAI_")),
)
"""Title -> prefixes of its settings; the first match wins."""

DEFAULTS: Final = {
    "max_clients_per_address": "none on loopback, 100 elsewhere",
    "node": "a new name at each start",
    "rate_limit": "none on loopback, 100/second elsewhere",
    "archive": "`archive.db` beside the history, off for `memory://`",
    "watch": "off",
    "archive_audio_dir": "`audio/` beside an SQLite archive",
    "observability": "on if LIVEKIT_API_SECRET and an archive are set",
    "cors_origins": "localhost, and `null` while open",
}
"""Defaults that are decided at start-up."""


def tables() -> str:
    """Return the tables as Markdown."""
    rows: dict[str, list[str]] = {title: [] for title, _ in GROUPS}
    defaults: Any = Settings()
    for setting in TABLE:
        default = DEFAULTS.get(setting.field) or _shown(getattr(defaults, setting.field))
        rows[_group(setting.name)].append(
            f"| `{setting.name}` | {default} | {setting.expects} | {setting.meaning} |"
        )
    head = "| setting | default | takes | meaning |\n|---|---|---|---|"
    parts = [f"## {title}\n\n{head}\n" + "\n".join(lines) for title, lines in rows.items()]
    agent = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in AGENT_TABLE.items())
    parts.append(f"## The agent\n\n| setting | meaning |\n|---|---|\n{agent}")
    return "\n\n".join(parts)


def current() -> tuple[str, str]:
    """Return the document as it is, and as it should be."""
    return replaced(DOCUMENT, "make_settings", tables())


def _group(name: str) -> str:
    return next(title for title, starts in GROUPS if name.startswith(starts))


def _shown(value: object) -> str:
    text = values.written(value)
    return f"`{text}`" if text else "not set"


if __name__ == "__main__":
    DOCUMENT.write_text(current()[1], encoding="utf-8")
