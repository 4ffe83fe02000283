"""Whether the server may listen on an address: an open scope is open to loopback only.

Pure. Called once per address at the start; `address` identifies the client of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming_hub.access.address import parse_address
from streaming_hub.errors import SettingsError

if TYPE_CHECKING:
    from streaming_hub.settings import Settings


def refuse_open_off_loopback(settings: Settings, host: str) -> None:
    """Refuse to start if other machines could reach an open scope.

    Args:
        settings: the keys.
        host: where the server listens.

    Raises:
        SettingsError: names the settings that are missing.
    """
    if settings.allow_open or is_loopback(host) or settings.jwt_secret:
        return
    keys = {
        "STREAM_PUBLISH_KEYS": settings.publish_keys,
        "STREAM_SUBSCRIBE_KEYS": settings.subscribe_keys,
        "STREAM_OPERATOR_KEYS": settings.operator_keys,
    }
    missing = [name for name, held in keys.items() if not held]
    if missing:
        raise SettingsError(
            f"The address {host} can be reached from other machines, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set. Set keys, or STREAM_ALLOW_OPEN=1 to allow anyone."
        )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only."""
    address = parse_address(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"
