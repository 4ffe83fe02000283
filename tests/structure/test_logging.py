"""Log lines: one scheme of logger names, and the same words for an unexpected error everywhere."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.structure.sources import modules

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = modules("streaming_hub", "agent", "flask_server.py", "packages/python/src")
UNEXPECTED = "unexpected error: "
EXPECTED = ("redact failed",)
"""Beginnings of messages about an error of the user's own function."""


def loggers(source: str) -> Iterator[str]:
    """Yield the statements at a module's top that make a logger."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and "getLogger" in (text := ast.unparse(node)):
            yield text


def unexpected(source: str) -> Iterator[str]:
    """Yield what is logged about errors of any kind: in an `except Exception`, with the traceback."""
    for handler in ast.walk(ast.parse(source)):
        if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
            continue
        if ast.unparse(handler.type) != "Exception":
            continue
        for node in ast.walk(handler):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "exception"
            ):
                yield ast.literal_eval(node.args[0])


def test_a_modules_logger_has_its_name() -> None:
    for path in SHIPPED:
        assert list(loggers(path.read_text())) in ([], ["log = logging.getLogger(__name__)"]), path


def test_unexpected_errors_are_logged_in_the_same_words() -> None:
    said = [message for path in SHIPPED for message in unexpected(path.read_text())]
    assert len(said) > 10
    assert [message for message in said if not message.startswith((UNEXPECTED, *EXPECTED))] == []


def test_another_name_and_other_words_are_found() -> None:
    assert list(loggers('logger = logging.getLogger("hub")')) == ["logger = logging.getLogger('hub')"]
    source = "try:\n    f()\nexcept Exception:\n    log.exception('it broke')"
    assert list(unexpected(source)) == ["it broke"]
