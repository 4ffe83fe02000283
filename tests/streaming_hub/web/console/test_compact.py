"""What is sent of the console's style sheets and pages is smaller, and means the same."""

from __future__ import annotations

import pytest

from streaming_hub.web.console.compact import compact


@pytest.mark.parametrize(
    ("source", "suffix", "sent"),
    [
        ("a > b, c :hover { d: e; }\n/* Why. */\n", ".css", "a>b,c :hover{d:e}"),
        ('a::after { content: "b: c; /* d */ }"; }', ".css", 'a::after{content:"b: c; /* d */ }"}'),
        ('a::after { content: "\\"{ "; }', ".css", 'a::after{content:"\\"{ "}'),
        ("a { width: calc(1px + 2px); margin: 0 -1px; }", ".css", "a{width:calc(1px + 2px);margin:0 -1px}"),
        (
            "@media (a: b) and (c) {\n  d e {\n    --f: g  h;\n  }\n}\n",
            ".css",
            "@media (a:b) and (c){d e{--f:g h}}",
        ),
        ("a { b: c /* d */ e; }", ".css", "a{b:c e}"),
        ("<p>\n  <b>c</b>\n\n  d\n</p>\n", ".html", "<p>\n<b>c</b>\nd\n</p>\n"),
        ("<p>a  <b>c</b>  d</p>", ".html", "<p>a  <b>c</b>  d</p>"),
        ("<!-- A. -->\n", ".svg", "<!-- A. -->\n"),
    ],
)
def test_only_what_means_nothing_goes(source: str, suffix: str, sent: str) -> None:
    assert compact(source, suffix) == sent


def test_modules_are_sent_short() -> None:
    assert compact("/** A. */\nconst aaa = 1;\nb(aaa);\n", ".js") == "let a=1;b(a);\n"
