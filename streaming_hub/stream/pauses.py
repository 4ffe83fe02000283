"""How long a piece of long work is followed by a pause, in which others get their turn."""

from typing import Final

NAP: Final = 0.0005
"""Seconds. Not 0: gevent comes back from that before any socket is looked at."""
