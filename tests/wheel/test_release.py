"""`tools.release`: the dry run of a release, and what it refuses."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from streaming_hub import __version__
from tests.kit.process import ROOT
from tools import release
from tools.release import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

PLACES = (
    "pyproject.toml",
    "streaming_hub/__init__.py",
    "packages/python/pyproject.toml",
    "packages/js/package.json",
    "packages/js/package-lock.json",
    "CHANGELOG.md",
    "packages/python/CHANGELOG.md",
    "packages/js/CHANGELOG.md",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the files that name the version."""
    for name in PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"## [{__version__}]\n")
    return tmp_path


def test_every_place_names_one_version(project: Path) -> None:
    release.check_versions(project, __version__)
    assert set(release.versions(project).values()) == {__version__}


@pytest.mark.parametrize("name", [name for name in PLACES if "CHANGELOG" not in name])
def test_a_place_with_another_version_is_named(project: Path, name: str) -> None:
    path = project / name
    path.write_text(path.read_text(encoding="utf-8").replace(__version__, "9.9.9"), encoding="utf-8")
    with pytest.raises(ReleaseError, match=f"{name}.*9.9.9"):
        release.check_versions(project, __version__)


def test_a_changelog_without_the_version_is_named(project: Path) -> None:
    (project / "packages/js/CHANGELOG.md").write_text("# Changelog\n")
    with pytest.raises(ReleaseError, match=r"packages/js/CHANGELOG\.md"):
        release.check_versions(project, __version__)


def a_wheel(folder: Path, metadata: str = "", more: str = "streaming_hub_client/x.py") -> Path:
    wheel = folder / f"livekit_streaming_hub_client-{__version__}-py3-none-any.whl"
    good = f"""Name: livekit-streaming-hub-client
Version: {__version__}
License-Expression: MIT
Summary: s
Requires-Python: >=3.10
License-File: LICENSE
"""
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("streaming_hub_client/__init__.py", "")
        archive.writestr(more, "")
        archive.writestr(
            f"livekit_streaming_hub_client-{__version__}.dist-info/METADATA", f"{metadata or good}\n"
        )
    return wheel


def test_a_wheel_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release.check_wheel(a_wheel(tmp_path), __version__)
    for more, told in (("tests/x.py", "holds"), ("streaming_hub_client/x.pyc", "not to be published")):
        with pytest.raises(ReleaseError, match=told):
            release.check_wheel(a_wheel(tmp_path, more=more), __version__)
    with pytest.raises(ReleaseError, match="Name is"):
        release.check_wheel(a_wheel(tmp_path, metadata="Name: other"), __version__)
    monkeypatch.setitem(release.MOST_BYTES, "livekit_streaming_hub_client", 10)
    with pytest.raises(ReleaseError, match="bytes, over 10"):
        release.check_wheel(a_wheel(tmp_path), __version__)


def test_an_archive_with_secrets_is_refused(tmp_path: Path) -> None:
    for name in (".env", "README.md", "LICENSE"):
        (tmp_path / name).write_text("x")
    packed = tmp_path / "x.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for name in (".env", "README.md", "LICENSE"):
            archive.add(tmp_path / name, f"package/{name}")
    with pytest.raises(ReleaseError, match=r"\.env"):
        release.check_archive(packed)


def test_the_client_is_published_first(tmp_path: Path) -> None:
    client, hub, npm = release.uploads(tmp_path, "1.2.3")
    assert client[:2] == hub[:2] == ["uv", "publish"]
    assert all("livekit_streaming_hub_client-1.2.3" in file for file in client[2:])
    assert all("livekit_streaming_hub-1.2.3" in file for file in hub[2:])
    assert npm[:2] == ["npm", "publish"]


@pytest.mark.npm
@pytest.mark.timeout(400)
def test_a_dry_run_builds_and_checks_what_git_holds(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert release.main(["9.9.9"]) == 1
    assert "not 9.9.9: pyproject.toml" in capfd.readouterr().err
    monkeypatch.setattr(
        release, "check_versions", lambda *_: None
    )  # between releases CHANGELOG.md has no section
    assert release.main([__version__]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in printed if " publish " in line] == ["uv", "uv", "npm"]
