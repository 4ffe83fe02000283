"""What is sent of the console's style sheets and pages is smaller, and means the same."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from streaming_hub import resources
from streaming_hub.web.console.compact import compact


@pytest.mark.parametrize(
    ("source", "suffix", "sent"),
    [
        ("a > b, c :hover { d: e; }\n/* Why. */\n", ".css", "a>b,c :hover{d:e}"),
        ('a::after { content: "b: c; /* d */ }"; }', ".css", 'a::after{content:"b: c; /* d */ }"}'),
        ('a::after { content: "\\"{ "; }', ".css", 'a::after{content:"\\"{ "}'),
        ('a[b="c-d"] { e: f; } a[b="1"] { e: f; }', ".css", 'a[b=c-d]{e:f}a[b="1"]{e:f}'),
        ("a { width: calc(1px + 2px); margin: 0 -1px; }", ".css", "a{width:calc(1px + 2px);margin:0 -1px}"),
        (
            "@media (a: b) and (c) {\n  d e {\n    --f: g  h;\n  }\n}\n",
            ".css",
            "@media (a:b) and (c){d e{--f:g h}}",
        ),
        ("a { b: c /* d */ e; }", ".css", "a{b:c e}"),
        ("<p>\n  <b>c</b>\n\n  d\n</p>\n", ".html", "<p>\n<b>c</b>\nd</p>\n"),
        ("<p>a  <b>c</b>  d</p>", ".html", "<p>a  <b>c</b>  d</p>"),
        (
            '<a b="c" d="e f" g="/h.i" i="j-1" k="" l="/m/">n="o"</a>',
            ".html",
            '<a b=c d="e f" g=/h.i i=j-1 k="" l="/m/">n="o"</a>',
        ),
        ("<ul><li>a</li><li>b</li></ul>", ".html", "<ul><li>a<li>b</ul>"),
        ("<dl><dt>a</dt><dd>b</dd> <dt>c</dt></dl>", ".html", "<dl><dt>a<dd>b</dd> <dt>c</dl>"),
        (
            "<div><p>a</p>\n<p>b <i>c</i></p><b>d</b><p>e</p></div>",
            ".html",
            "<div><p>a<p>b <i>c</i></p><b>d</b><p>e</div>",
        ),
        ("<!-- A. -->\n", ".svg", "<!-- A. -->\n"),
    ],
)
def test_only_what_means_nothing_goes(source: str, suffix: str, sent: str) -> None:
    assert compact(source, suffix) == sent


def test_modules_are_sent_short() -> None:
    assert compact("/** A. */\nconst aaa = 1;\nb(aaa);\n", ".js") == "let a=1;b(a);\n"


class Read(HTMLParser):
    """What a page says, without the end tags that may be left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("option", "th", "td", "dt", "dd", "li", "p"):
            self.found.append(tag)

    def handle_data(self, data: str) -> None:
        if data.split():
            self.found.append(" ".join(data.split()))


@pytest.mark.parametrize(
    "path", sorted(resources.console("templates").rglob("*.html")), ids=lambda path: path.name
)
def test_a_page_says_the_same(path: Any) -> None:
    page = path.read_text(encoding="utf-8")
    assert Read(compact(page, ".html")).found == Read(page).found
