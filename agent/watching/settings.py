"""The watcher's settings, passed on by the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "STREAM_URL", "WATCHER_IDENTITY")


class SettingError(ValueError):
    """A setting is missing; the text names it."""


@dataclass(frozen=True)
class Settings:
    """See the module.

    Attributes:
        patterns: Names of rooms, with `*` and `?` as in file names.
        identity: The watcher's in every room, by which the hub recognises it.
        hub_url: The hub.
        hub_key: A key to subscribe and publish with.
        livekit_url: The LiveKit server.
        api_key: Of its project.
        api_secret: Of its project.
    """

    patterns: tuple[str, ...]
    identity: str
    hub_url: str
    hub_key: str | None
    livekit_url: str
    api_key: str
    api_secret: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            SettingError: One is missing.
        """
        missing = [name for name in NEEDED if not environment.get(name)]
        if missing:
            raise SettingError(
                f"{', '.join(missing)} not set: the watcher is started by the hub (STREAM_WATCH)"
            )
        return cls(
            patterns=tuple(filter(None, environment.get("STREAM_WATCH", "").split(","))),
            identity=environment["WATCHER_IDENTITY"],
            hub_url=environment["STREAM_URL"],
            hub_key=environment.get("STREAM_PUBLISH_KEY"),
            livekit_url=environment["LIVEKIT_URL"],
            api_key=environment["LIVEKIT_API_KEY"],
            api_secret=environment["LIVEKIT_API_SECRET"],
        )
