"""The description as one HTML page: no script, nothing from elsewhere, everything escaped.

It is made only from the OpenAPI document and the event types, so it cannot drift from the API.
"""

from __future__ import annotations

import json
import re
import shlex
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from streaming_hub import resources
from streaming_hub.events.types import (
    GROUPS,
    Stored,
    own_fields,
    summary,
)
from streaming_hub.web.openapi.schemas import COMMON_FIELDS, name_of_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streaming_hub.events.types import Declared

STYLE: Final = resources.api_style().read_text(encoding="utf-8")
ICON: Final = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%234457d6'/%3E%3Cpath d='M9 10h14M9 16h14M9 22h9' stroke='%23fff' stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E"  # noqa: E501 - one URL
Found = tuple[str, str, dict[str, Any]]
"""Method, path, and OpenAPI's description."""


def page(document: dict[str, Any], base_url: str) -> str:
    """Return the page.

    Args:
        document: the OpenAPI document.
        base_url: where the server is, for the curl lines.
    """
    title = escape(document["info"]["title"])
    body = "".join(
        [
            f"<h1>{title}</h1>",
            f'<p class="muted">HTTP API, version {escape(document["info"]["version"])}. '
            '<a href="/openapi.json">openapi.json</a> is the same for programs. <a href="/">Live page</a></p>',
            f"<p>{_text(document['info']['description'])}</p>",
            _credentials(document),
            *(_group(document, tag["name"], base_url) for tag in document["tags"]),
            _events(document),
            _errors(document),
            _schemas(document),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{title}: API</title>\n<link rel="icon" href="{ICON}">\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f'<a class="skip" href="#content">To the content</a>\n<div class="layout">\n{_navigation(document)}\n'
        f'<main id="content">{body}</main>\n</div>\n</body>\n</html>\n'
    )


def _operations(document: dict[str, Any], group: str) -> Iterator[Found]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if group in operation["tags"]:
                yield method, path, operation


def _navigation(document: dict[str, Any]) -> str:
    parts = ['<nav aria-label="Contents"><details open><summary>Contents</summary>']
    for tag in document["tags"]:
        links = "".join(
            f'<li><a href="#{escape(operation["operationId"])}">{_method(method)}'
            f"<span>{escape(path)}</span></a></li>"
            for method, path, operation in _operations(document, tag["name"])
        )
        parts.append(f"<h2>{escape(tag['name'])}</h2><ul>{links}</ul>")
    parts.append("<h2>Events</h2><ul>")
    parts += [f'<li><a href="#events-{_anchor(title)}">{escape(title)}</a></li>' for title in GROUPS]
    parts.append('</ul><h2>More</h2><ul><li><a href="#errors">Errors</a></li>')
    parts.append('<li><a href="#schemas">Schemas</a></li></ul></details></nav>')
    return "".join(parts)


def _credentials(document: dict[str, Any]) -> str:
    rows = []
    for name, scheme in document["components"]["securitySchemes"].items():
        where = "Authorization: Bearer" if scheme["type"] == "http" else f"{scheme['name']} ({scheme['in']})"
        rows.append((f"<code>{escape(name)}</code>", escape(where), _text(scheme["description"])))
    return f'<h2 id="credentials">Credentials</h2><article>{_rows(rows)}</article>'


def _group(document: dict[str, Any], name: str, base_url: str) -> str:
    articles = (_operation(base_url, *found) for found in _operations(document, name))
    return f'<h2 id="{_anchor(name)}">{escape(name)}</h2>{"".join(articles)}'


def _operation(base_url: str, method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<article id="{escape(operation["operationId"])}"><header>{_method(method)}'
        f'<h3 class="path">{escape(path)}</h3>{_scope(operation)}</header>',
        f"<p><strong>{escape(operation['summary'])}.</strong> ".replace("?.", "?"),
        f"{_text(operation.get('description', ''))}</p>",
    ]
    parameters = [
        (
            f"<code>{escape(one['name'])}</code>",
            f"{one['in']}, {_kind(one['schema'])}",
            _text(one["description"]),
        )
        for one in operation.get("parameters", ())
    ]
    if parameters:
        parts.append(f"<h4>Parameters</h4>{_rows(parameters)}")
    parts.append("<h4>Try it</h4>" + _code(curl(base_url, method, path, operation), "line"))
    if "requestBody" in operation:
        optional = "" if operation["requestBody"]["required"] else ", optional"
        parts.append(_contents(f"Body{optional}", operation["requestBody"]["content"]))
    refused = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            refused.append(f'<a href="#error-{answer["$ref"].rpartition("/")[2]}">{status}</a>')
        else:
            parts.append(_contents(f"{status}: {answer['description']}", answer.get("content", {})))
    if refused:
        parts.append(f'<p class="muted">Errors: {", ".join(refused)}</p>')
    return "".join([*parts, "</article>"])


def _scope(operation: dict[str, Any]) -> str:
    scope = operation.get("x-scope")
    if scope is None:
        return '<span class="tag">signed by livekit-server</span>' if operation["security"] else ""
    now = ", open now" if {} in operation["security"] else ""
    return f'<span class="tag">needs {escape(scope)}{now}</span>'


def _contents(title: str, contents: dict[str, Any]) -> str:
    parts = [f"<h4>{_text(title)}</h4>"]
    for media, content in contents.items():
        parts.append(f'<p class="muted"><code>{escape(media)}</code> {_kind(content["schema"])}</p>')
        for example in content["examples"].values():
            value = example["value"]
            parts.append(_code(value if isinstance(value, str) else _pretty(value)))
    return "".join(parts)


def curl(base_url: str, method: str, path: str, operation: dict[str, Any]) -> str:
    """Return the line that calls an endpoint with the first example of everything.

    Args:
        base_url: where the server is.
        method: in any case.
        path: OpenAPI's, with `{name}` in it.
        operation: OpenAPI's description.
    """
    parameters = operation.get("parameters", ())
    shown = {one["name"]: one["example"] for one in parameters if "example" in one}
    in_path = {one["name"] for one in parameters if one["in"] == "path"}
    url = base_url + re.sub(r"{(\w+)}", lambda match: quote(str(shown[match[1]]), safe=""), path)
    query = {name: value for name, value in shown.items() if name not in in_path}
    if query:
        url += "?" + urlencode(query, doseq=True)
    options = {"get": [], "head": ["-I"]}.get(method.lower(), ["-X", method.upper()])
    if path.endswith("/stream"):
        options = [*options, "-N"] if method.lower() == "get" else options
    words = ["curl", *options, shlex.quote(url)]
    if "requestBody" in operation:
        media, content = next(iter(operation["requestBody"]["content"].items()))
        example = next(iter(content["examples"].values()))["value"]
        words += ["-H", shlex.quote(f"Content-Type: {media}"), "-d", shlex.quote(json.dumps(example))]
    return " ".join(words)


def _events(document: dict[str, Any]) -> str:
    common = document["components"]["schemas"][COMMON_FIELDS]["properties"]
    fields = [
        (f"<code>{escape(name)}</code>", _kind(schema), _text(schema["description"]))
        for name, schema in common.items()
    ]
    parts = [
        '<h2 id="events">Events</h2><p>An event is a JSON object with a <code>type</code>. Types that are not listed '
        "here are your own; they are stored, filtered and sent like the rest. Each JSON Schema is under "
        '<code>components.schemas</code> of <a href="/openapi.json">openapi.json</a>.</p>',
        f"<article><h3>Fields that every stored event may have</h3>{_rows(fields)}</article>",
    ]
    for title, types in GROUPS.items():
        parts.append(f'<h2 id="events-{_anchor(title)}">Events: {escape(title.lower())}</h2>')
        parts += [_event(name, kind) for name, kind in types.items()]
    return "".join(parts)


def _event(name: str, kind: type[Declared]) -> str:
    stored = "" if issubclass(kind, Stored) else '<span class="tag">not stored</span>'
    fields = [
        (
            f"<code>{escape(field['name'])}</code>",
            _kind(field["schema"]) + ("" if field["required"] else ", optional"),
            _text(field["schema"].get("description", "")),
        )
        for field in own_fields(kind)
    ]
    return (
        f'<article id="event-{escape(name)}"><header><h3 class="path">{escape(name)}</h3>'
        f'<span class="tag">seen by {kind.view}s</span>{stored}'
        f"</header><p>{_text(summary(kind))}</p>{_rows(fields) if fields else ''}"
        f'<h4>Example</h4>{_code(_pretty(kind.example))}<p class="muted">Schema: '
        f'<a href="#schema-{name_of_event(name)}">{name_of_event(name)}</a></p></article>'
    )


def _errors(document: dict[str, Any]) -> str:
    parts = ['<h2 id="errors">Errors</h2>']
    for name, answer in document["components"]["responses"].items():
        (media, content), *_ = answer["content"].items()
        status = content["example"]["status"]
        headers = "".join(f" <code>{escape(header)}</code>" for header in answer.get("headers", ()))
        parts.append(
            f'<article id="error-{escape(name)}"><header><span class="method">{status}</span>'
            f"<h3>{escape(content['example']['title'])}</h3>{headers}</header>"
            f'<p>{_text(answer["description"])}</p><p class="muted"><code>{escape(media)}</code></p>'
            f"{_code(_pretty(content['example']))}</article>"
        )
    return "".join(parts)


def _schemas(document: dict[str, Any]) -> str:
    folded = (
        f'<details id="schema-{escape(name)}"><summary>{escape(name)}</summary>{_code(_pretty(schema))}</details>'
        for name, schema in document["components"]["schemas"].items()
    )
    return f'<h2 id="schemas">Schemas</h2><article>{"".join(folded)}</article>'


def _kind(schema: dict[str, Any]) -> str:
    """Say in a word or two what a schema takes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[choice]))
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(word))}</code>" if word else "empty" for word in schema["enum"])
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_kind(schema['items'])}"
    return escape(str(schema.get("type", "any")))


def _rows(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = (
        f'<div><dt>{name}<span class="kind">{kind}</span></dt><dd>{text}</dd></div>'
        for name, kind, text in rows
    )
    return f'<dl class="rows">{"".join(lines)}</dl>'


def _text(text: str) -> str:
    """Escape a text, and show what stands between back ticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _code(text: str, kind: str = "block") -> str:
    return f'<pre class="{kind}" tabindex="0"><code>{escape(text)}</code></pre>'


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())
