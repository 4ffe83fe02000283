"""Pause between slices of long work so other greenlets can run."""

from typing import Final

NAP: Final = 0.0005
"""Seconds. Not 0: gevent would return before it polls any socket."""
