"""The client runs on Python 3.10: its syntax, and no name of the standard library that came later."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.structure.sources import CLIENT, modules, name_of

if TYPE_CHECKING:
    from pathlib import Path

FILES = modules("packages/python/src")
LATER = {
    "asyncio": {"timeout", "timeout_at", "TaskGroup", "Runner", "Barrier"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "ReprEnum", "verify"},
    "typing": {
        "Self",
        "Never",
        "assert_never",
        "reveal_type",
        "LiteralString",
        "Unpack",
        "NotRequired",
        "override",
    },
    "contextlib": {"chdir"},
    "sqlite3": {"SQLITE_BUSY", "SQLITE_LOCKED"},
    "itertools": {"batched"},
}
MODULES = {"tomllib"}
BUILT_IN = {"ExceptionGroup", "BaseExceptionGroup"}


def later_names(tree: ast.AST) -> set[str]:
    """What a module uses that Python 3.10 lacks."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=aliases):
                found |= {f"{module}.{one.name}" for one in aliases if one.name in LATER.get(module, ())}
                found |= {module} & MODULES
            case ast.Import(names=aliases):
                found |= {one.name for one in aliases} & MODULES
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in LATER.get(module, ()):
                found.add(f"{module}.{name}")
            case ast.Name(id=name) if name in BUILT_IN:
                found.add(name)
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_client_needs_nothing_newer(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    assert later_names(tree) == set()


def test_what_is_newer_would_be_found() -> None:
    source = "import tomllib, asyncio\nfrom typing import Self\nasyncio.timeout(1)\nExceptionGroup"
    assert later_names(ast.parse(source)) == {"tomllib", "typing.Self", "asyncio.timeout", "ExceptionGroup"}
    with pytest.raises(SyntaxError):
        ast.parse("try: pass\nexcept* OSError: pass", feature_version=(3, 10))


def test_the_package_is_typed() -> None:
    assert (CLIENT / "streaming_hub_client" / "py.typed").exists()
