"""Generate the table of modules in docs/explanation/architecture.md from the docstrings, in the order of the layers.

Run `uv run python -m docs.tools.make_modules`. The table stands between two marks; the text around it is written by
hand. A test fails if it is out of date.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from docs.tools.made_part import replaced
from tests.structure.test_imports import LAYERS

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = ROOT / "docs" / "explanation" / "architecture.md"
OTHERS: Final = ("agent", "agent/watching", "agent/rehearsal", "packages/python/src/streaming_hub_client")


def table() -> str:
    """Return the table as Markdown."""
    rooms = [room for layer in LAYERS for room in layer]
    paths = [Path("streaming_hub", *([] if room == "streaming_hub" else [room])) for room in rooms]
    paths = [Path("flask_server") if path.name == "flask_server" else path for path in paths]
    rows = [_row(path) for path in (*paths, *map(Path, OTHERS))]
    return "\n".join(["| directory or module | what |", "|---|---|", *rows])


def current() -> tuple[str, str]:
    """Return the document as it is, and as it should be."""
    return replaced(DOCUMENT, "make_modules", table())


def _row(path: Path) -> str:
    """Describe a directory by its whole docstring, a module by the first paragraph of its docstring."""
    folder = (ROOT / path).is_dir()
    source = ROOT / path / "__init__.py" if folder else ROOT / path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    said = docstring.split("\n\nRaises:")[0] if folder else docstring.partition("\n\n")[0]
    name = f"{path}/" if folder else f"{path}"
    return f"| `{name}` | {' '.join(said.split())} |"


if __name__ == "__main__":
    DOCUMENT.write_text(current()[1], encoding="utf-8")
