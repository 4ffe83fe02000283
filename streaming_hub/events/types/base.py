"""The fields that every event may have, and what an event type declares. Pure.

Fields that may be missing default to `UNSET`: they are then absent from the JSON and not required by the schema.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from streaming_hub.events.types.effects import Effect  # noqa: TC001 - msgspec resolves it
from streaming_hub.events.views import View  # noqa: TC001 - msgspec resolves it

Kind = TypeVar("Kind")
Opt: TypeAlias = Kind | UnsetType
"""A field that may be missing."""

Text = Annotated[str, Meta(pattern=r"^[^\r\n\x00]*$")]
"""A string without CR, LF and NUL, as names are."""

MAX_TIMESTAMP: Final = 1e11
"""Below this a number is seconds since 1970; milliseconds are above."""


class Declared(Struct, tag_field="type", kw_only=True):
    """One event type: its docstring describes it, its fields are those of its JSON.

    Attributes:
        view: the lowest view that sees it. There is no default, so that no type is shown by oversight.
        effect: how it changes the state of its room; None if it does not.
        by_hub: whether the hub alone makes it, so that it cannot be posted.
        example: an event of this type as a reader gets it, without `id`.
    """

    view: ClassVar[View]
    effect: ClassVar[Effect | None] = None
    by_hub: ClassVar[bool] = False
    example: ClassVar[dict[str, Any]] = {}


class Control(Declared, kw_only=True):
    """An event that the hub makes for one stream and never stores."""

    by_hub: ClassVar = True


class Stored(Declared, kw_only=True):
    """An event that the hub stores: it can be read later, and has an id."""

    id: Opt[
        Annotated[
            str,
            Meta(description="`<epoch>-<seq>`, assigned by the hub.", extra_json_schema={"readOnly": True}),
        ]
    ] = UNSET
    timestamp: Opt[
        Annotated[
            float,
            Meta(
                ge=0,
                lt=MAX_TIMESTAMP,
                description="When it happened, seconds since 1970. Defaults to the time of arrival.",
            ),
        ]
    ] = UNSET
    room: Opt[Annotated[Text, Meta(description="The LiveKit room.")]] = UNSET
    session_id: Opt[Annotated[Text, Meta(description="One run of an agent in a room.")]] = UNSET
    participant: Opt[Annotated[Text, Meta(description="Identity of the participant the event is about.")]] = (
        UNSET
    )
    role: Opt[
        Annotated[
            Text,
            Meta(
                description="That participant's role: `user`, `agent` or `system`.",
                examples=["user", "agent"],
            ),
        ]
    ] = UNSET
    turn_id: Opt[
        Annotated[
            Text,
            Meta(description="One utterance of the user and the answer; a greeting is a turn of its own."),
        ]
    ] = UNSET
    event_id: Opt[
        Annotated[
            Text,
            Meta(description="The sender's own id for the event (a UUID), which makes retries safe."),
        ]
    ] = UNSET
    audience: Opt[
        Annotated[Any, Meta(description="`operator` hides the event from viewers.", examples=["operator"])]
    ] = UNSET
    truncated: Opt[
        Annotated[
            Any,
            Meta(
                description="Set by `attach` if an event would exceed 64 KiB: each field that was cut, and its "
                "length in bytes (UTF-8 of a string, else of its JSON).",
                examples=[{"output": 126000}],
            ),
        ]
    ] = UNSET


COMMON: tuple[str, ...] = Stored.__struct_fields__
"""Fields that every stored event may have, besides its `type`."""
