"""The two views of a stream; each event type says which is the lowest that sees it (`events.types`). Pure."""

from __future__ import annotations

from typing import Final, Literal

View = Literal["viewer", "operator"]
"""`viewer` is the conversation; `operator` is everything."""

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
