"""Which folder is taken, and which may be another user's trap."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from streaming_hub.private_folder import private_folder

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_missing_folder_is_made_for_this_user_alone_and_found_again(tmp_path: Path) -> None:
    wanted = tmp_path / "spool"
    assert private_folder(wanted) == wanted
    assert mode(wanted) == 0o700
    assert private_folder(wanted) == wanted


@pytest.mark.parametrize("trap", ["link", "open folder", "file"])
def test_what_others_may_have_laid_there_is_not_used(
    tmp_path: Path, trap: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if trap == "link":
        wanted.symlink_to(elsewhere)
    elif trap == "file":
        wanted.touch(mode=0o700)
    else:
        wanted.mkdir()
        wanted.chmod(0o777)
    taken = private_folder(wanted)
    assert taken not in (wanted, elsewhere)
    assert mode(taken) == 0o700
    assert str(wanted) in caplog.text


def test_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tmp_path / "spool"
    wanted.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: wanted.stat().st_uid + 1)
    assert private_folder(wanted) != wanted
