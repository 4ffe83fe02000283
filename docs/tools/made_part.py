"""The part of a document that a program makes, between two marks; the rest is written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

END: Final = "<!-- end -->"


def replaced(document: Path, program: str, part: str) -> tuple[str, str]:
    """Return a document as it is, and as it should be.

    Args:
        document: has both marks.
        program: the one in this directory that makes the part, named by the first mark.
        part: Markdown.
    """
    text = document.read_text(encoding="utf-8")
    begin = f"<!-- begin: made by docs/tools/{program}.py -->"
    before, _, rest = text.partition(begin)
    return text, f"{before}{begin}\n\n{part}\n\n{END}{rest.partition(END)[2]}"
