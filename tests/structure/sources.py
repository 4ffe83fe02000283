"""The project's Python files and what each imports, read with `ast`."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "packages" / "python" / "src"
"""Where the Python client's package lies."""


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes:
        name: with dots; for `from a import b` both `a` and `a.b` are reported, since `b` may be a module.
        typing_only: whether it stands under `if TYPE_CHECKING` and never runs.
    """

    name: str
    typing_only: bool


@cache
def modules(*folders: str) -> tuple[Path, ...]:
    """All Python files of folders or files below the project's root."""
    found: list[Path] = []
    for folder in folders:
        path = ROOT / folder
        found += [path] if path.is_file() else path.rglob("*.py")
    assert found, f"no Python file in {folders}"
    return tuple(sorted(found))


def name_of(path: Path) -> str:
    """A file's dotted module name."""
    root = CLIENT if path.is_relative_to(CLIENT) else ROOT
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> frozenset[Import]:
    """What a file imports, inside functions, too."""
    return frozenset(_walk(_absolute(path), typing_only=False))


def names(path: Path, *, typing: bool = True) -> set[str]:
    """The names of what a file imports; without those for types alone where `typing` is false."""
    return {found.name for found in imports(path) if typing or not found.typing_only}


def _absolute(path: Path) -> ast.Module:
    """A file's tree, its relative imports made absolute."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = name_of(path).split(".") + (["__init__"] if path.name == "__init__.py" else [])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            node.module = ".".join([*parts[: -node.level], *filter(None, [node.module])])
            node.level = 0
    return tree


def uses(source: str, known: Collection[str]) -> set[str]:
    """Which known modules a source imports, for types too; `from a import b` is `a.b` where that is a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {inside[name] if inside[name] in known else node.module or "" for name in inside}
    return found & set(known)


def belongs(name: str, *packages: str) -> bool:
    """Whether a module is one of these packages, or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _walk(node: ast.AST, *, typing_only: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, typing_only)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.module or "", typing_only)
        for alias in node.names:
            yield Import(f"{node.module}.{alias.name}", typing_only)
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for statement in node.body:
            yield from _walk(statement, typing_only=True)
        for statement in node.orelse:
            yield from _walk(statement, typing_only=typing_only)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, typing_only=typing_only)
