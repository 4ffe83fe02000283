"""The benchmark's modules find what they borrow from the tests and from the hub: no other check runs most of them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.structure.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MODULES = sorted((ROOT / "bench").glob("*.py"))
BORROWED = ("tests.", "streaming_hub.", "bench.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_what_a_module_imports_exists(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(BORROWED):
            found = importlib.import_module(node.module or "")
            for name in node.names:
                known = hasattr(found, name.name) or importlib.util.find_spec(f"{node.module}.{name.name}")
                assert known, f"{path.name}: {node.module} has no {name.name}"
