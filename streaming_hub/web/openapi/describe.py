"""Put together what the views declare and say. Import this only on request: it takes time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streaming_hub.web.about import GROUPS, HTML, About, Answer
from streaming_hub.web.declared import DECLARED
from streaming_hub.web.openapi.document import Endpoint, document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.web.declared import Declaration


def _endpoints() -> Iterator[Endpoint]:
    for (method, path), declared in DECLARED.items():
        if declared.about is not None:
            about = declared.about()
            yield _endpoint(method, path, declared, about)
            if about.head:
                answers = (Answer(200, "The headers."),)
                head = About(group=about.group, summary=about.head, ticket=about.ticket, answers=answers)
                yield _endpoint("HEAD", path, declared._replace(errors=()), head)


def _endpoint(method: str, path: str, declared: Declaration, about: About) -> Endpoint:
    return Endpoint(
        **{name: getattr(about, name) for name in About.__struct_fields__},
        method=method,
        path=path,
        scope=declared.scope,
        signed=declared.signed,
        errors=declared.errors,
    )


def _place(endpoint: Endpoint) -> tuple[int, bool]:
    """Return where an endpoint stands: by group, and pages after what programs ask for."""
    is_page = any(content.media == HTML for answer in endpoint.answers for content in answer.contents)
    return GROUPS.index(endpoint.group), is_page


ENDPOINTS: Final = tuple(sorted(_endpoints(), key=_place))
"""Every endpoint."""


def describe(open_scopes: frozenset[str]) -> dict[str, Any]:
    """Return the OpenAPI document of a server with these open scopes."""
    return document(ENDPOINTS, open_scopes)
