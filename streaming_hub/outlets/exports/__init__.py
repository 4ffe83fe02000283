"""A session as a file: captions (WebVTT, SubRip) and documents (Markdown, text, CSV, JSON).

Pure: from the response of `GET /api/sessions/ID` to bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.outlets.exports import captions, documents

if TYPE_CHECKING:
    from collections.abc import Callable


class Format(msgspec.Struct, frozen=True):
    """A file format.

    Attributes:
        media: its content type.
        write: from the session to the file's text.
    """

    media: str
    write: Callable[[dict[str, Any]], str]


FORMATS: Final = {
    "json": Format("application/json", documents.json),
    "vtt": Format("text/vtt; charset=utf-8", captions.vtt),
    "srt": Format("application/x-subrip; charset=utf-8", captions.srt),
    "md": Format("text/markdown; charset=utf-8", documents.markdown),
    "txt": Format("text/plain; charset=utf-8", documents.text),
    "csv": Format("text/csv; charset=utf-8", documents.csv),
}
