"""Read variables from the environment, `.env.local` and `.env`, and find misspelt names.

Reads files and the environment only in `read`. Messages never repeat file contents, which may be keys. Values are used
as written, except that quotes and the escapes inside them follow dotenv's rules; a `Remark` records what other dotenv
readers would treat differently.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from dotenv.parser import Binding, parse_stream

from streaming_hub.errors import SettingsError
from streaming_hub.wording import listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

FILES: Final = (".env", ".env.local")
"""The files, in the order of reading; later ones win."""
PREFIXES: Final = ("STREAM_", "AGENT_")
"""Prefixes of our own variables."""
SHARED: Final = ("LIVEKIT_", "OPENAI_")
"""Prefixes that LiveKit's and OpenAI's libraries use as well, so most unknown names with them are theirs."""
SIMILAR: Final = 0.75
MISSPELT: Final = 0.83
NEARLY_ALIKE: Final = 0.9
"""Similarity, from 0 to 1, at which a setting is suggested (`SIMILAR`), and at which a name counts as a misspelt one:
with a prefix that other libraries use as well (`MISSPELT`), or with any other beginning (`NEARLY_ALIKE`).
Names that those libraries read stay below the latter (`test_names_of_other_libraries_are_no_concern`)."""
MOST_MEANT: Final = 3
"""Maximum number of settings suggested for one name."""

_OPEN_QUOTE: Final = re.compile(
    r"""\s*(?:export\s+)?[^=\s]+[^\S\n]*=[^\S\n]*(["'])(?:\\.|(?!\1).)*(?:\n|\Z)"""
)


_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final = re.compile(r"[A-Z0-9_]+")
_NAME: Final = r"\s*(?:export\s+)?[^=\s]+[^\S\n]*=[^\S\n]*"
_COMMENT: Final = re.compile(rf"""{_NAME}(?!["'])([^\r\n]*?\S[^\S\r\n]+\#[^\r\n]*)""")
_EXPANDED: Final = re.compile(r"\$\{[^}]*\}")


class Remark(NamedTuple):
    """An ambiguity in how a value is written in a file.

    Attributes:
        place: the file, and the line.
        whole: the value including the text that looks like a comment; None if there is none.
        expands: whether it contains `${NAME}`, which other programs expand.
    """

    place: str
    whole: str | None
    expands: bool


class Variables(NamedTuple):
    """Variables and remarks about them.

    Attributes:
        values: every variable.
        remarks: by name, for values in effect that come from a file.
    """

    values: dict[str, str]
    remarks: dict[str, Remark]


def read(folder: Path, environ: Mapping[str, str] | None = None) -> Variables:
    """Return all variables; the environment overrides the files.

    Args:
        folder: where the files are.
        environ: the process's own by default.

    Raises:
        SettingsError: a file cannot be read; names the file, and the line where one is malformed.
    """
    values: dict[str, str] = {}
    remarks: dict[str, Remark] = {}
    for name in FILES:
        path = folder / name
        if path.is_file() or path.is_fifo():  # Some secret managers pass the file as a pipe.
            found = _of_file(path)
            remarks = {
                key: value for key, value in remarks.items() if key not in found.values
            } | found.remarks
            values.update(found.values)
    # An empty variable counts as unset: it does not override a file.
    own = os.environ if environ is None else environ
    set_here = {name: value for name, value in own.items() if value.strip()}
    return Variables(
        values | set_here, {name: remark for name, remark in remarks.items() if name not in set_here}
    )


def not_files(folder: Path) -> tuple[str, ...]:
    """Return a warning for each path that is not a file, so nothing is read from it."""
    found = []
    for name in FILES:
        path = folder / name
        if path.is_dir():
            found.append(
                f"{name} is a directory, so no settings are read from it. Docker makes one where the file to mount is "
                "missing."
            )
        elif path.is_symlink() and not path.exists():
            found.append(f"{name} is a link to a missing file, so no settings are read from it.")
    return tuple(found)


def doubts(
    values: Mapping[str, str], known: Collection[str], elsewhere: Collection[str] = ()
) -> tuple[str, ...]:
    """Return a warning for each variable that looks like a setting but is not one.

    Args:
        values: what is set.
        known: names that are read.
        elsewhere: names that only other programs read: neither reported nor suggested.
    """
    given = {name for name, text in values.items() if text.strip()}
    found = []
    for name in sorted(given.difference(known, elsewhere)):
        shown = name if name.isprintable() else ascii(name)[1:-1]
        if (written := _otherwise_written(name, known)) is not None:
            found.append(f"{shown} is not a known setting: it is written {written}.")
            continue
        ours = name.startswith(PREFIXES)
        if ours:
            near = _with_its_words(name, known) or _nearest(name, known, SIMILAR)
        elif name.startswith(SHARED):
            # If the right name is set as well, this one is not a misspelling of it.
            near = _nearest(name, set(known) - given, MISSPELT)
        else:
            near = _nearest(name, set(known) - given, NEARLY_ALIKE)
        if ours or near:
            meant = f"Did you mean {listing(near, 'or')}?" if near else "See `flask_server.py --help`."
            found.append(f"{shown} is not a known setting. {meant}")
    return tuple(found)


def idle(values: Mapping[str, str], needs: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning for each setting that has no effect.

    Args:
        values: what is set.
        needs: a setting -> the setting it depends on.
    """
    given = {name for name, text in values.items() if text.strip()}
    return tuple(
        f"{name} has no effect: {other} is not set."
        for name, other in needs.items()
        if name in given and other not in given
    )


def _nearest(name: str, known: Iterable[str], cutoff: float) -> list[str]:
    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)


def _otherwise_written(name: str, known: Collection[str]) -> str | None:
    """Return the setting that a name means if its case is ignored, and any characters that no name contains.

    Such characters are quotes, or the byte order mark of a file that was appended to another.
    """
    written = name.upper().replace("-", "_")
    if written in known:
        return written if written.startswith(PREFIXES) else None
    return (
        None
        if _PLAIN.fullmatch(name)
        else next((one for one in _WORDS.findall(written) if one in known), None)
    )


def _with_its_words(name: str, known: Iterable[str]) -> list[str]:
    """Return the settings whose names contain all words of a name; none if there are many."""
    words = set(name.split("_"))
    found = sorted(one for one in known if words <= set(one.split("_")))
    return found if len(found) <= MOST_MEANT else []


def _of_file(path: Path) -> Variables:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{path.name}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.name}: not valid UTF-8; save the file as UTF-8.") from error
    found = Variables({}, {})
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise SettingsError(f"{path.name}, line {_line(binding)}: {_wrong(binding)}")
        if binding.key is None or binding.value is None:
            continue
        found.values[binding.key] = binding.value
        commented = _COMMENT.match(binding.original.string)
        expands = _EXPANDED.search(binding.value) is not None
        found.remarks.pop(binding.key, None)
        if commented or expands:
            place = f"{path.name}, line {_line(binding)}"
            found.remarks[binding.key] = Remark(place, commented[1].strip() if commented else None, expands)
    return found


def _wrong(binding: Binding) -> str:
    quoted = _OPEN_QUOTE.match(binding.original.string)
    if quoted:
        return f"the value begins with a quote ({quoted[1]}) that is not closed."
    return "expected NAME=value, or a comment."


def _line(binding: Binding) -> int:
    """Return the line where the binding begins; the parser's count includes empty lines before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
