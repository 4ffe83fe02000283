"""Build, check and publish the three packages, all with one version: `python -m tools.release VERSION [--publish]`.

Builds from what git holds at HEAD, in a temporary directory. Publishes the Python client first, as the hub's extra
`agent` needs it, then the hub, then the npm package. Without `--publish` it only prints what it would run.
"""

from __future__ import annotations

import argparse
import email
import json
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MOST_BYTES: Final = {"livekit_streaming_hub": 1024 * 1024, "livekit_streaming_hub_client": 100 * 1024}
"""Wheel -> its size at most."""
MOST_BYTES_OF_NPM: Final = 64 * 1024
TOPS: Final = {
    "livekit_streaming_hub": {"streaming_hub", "streaming_hub_agent"},
    "livekit_streaming_hub_client": {"streaming_hub_client"},
}
"""Wheel -> its directories, besides the metadata."""
FOREIGN: Final = re.compile(r"(^|/)(\.env|\.git|node_modules|__pycache__|data|tests?)(/|$)|\.(pyc|db|map)$")


class ReleaseError(Exception):
    """The release cannot be made. The text says why, and what to do."""


def versions(project: Path) -> dict[str, str]:
    """Return every place that names the version -> the version there."""
    hub = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    client = tomllib.loads((project / "packages/python/pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    npm = json.loads((project / "packages/js/package.json").read_text(encoding="utf-8"))
    lock = json.loads((project / "packages/js/package-lock.json").read_text(encoding="utf-8"))
    found = {
        "pyproject.toml": hub["version"],
        "packages/python/pyproject.toml": client["version"],
        "packages/js/package.json": npm["version"],
        "packages/js/package-lock.json": lock["packages"][""]["version"],
    }
    module = (project / "streaming_hub/__init__.py").read_text(encoding="utf-8")
    found["streaming_hub/__init__.py"] = _only(r'__version__ = "(.+)"', module)
    pinned = " ".join(hub["optional-dependencies"]["agent"])
    found["pyproject.toml, extra `agent`"] = _only(r"livekit-streaming-hub-client\[livekit\]==(\S+)", pinned)
    return found


def check_versions(project: Path, version: str) -> None:
    """Check that every place names this version, and every changelog has a section for it.

    Raises:
        ReleaseError: one does not.
    """
    wrong = {place: found for place, found in versions(project).items() if found != version}
    if wrong:
        raise ReleaseError(
            f"not {version}: {', '.join(f'{place} ({found})' for place, found in wrong.items())}"
        )
    for name in ("CHANGELOG.md", "packages/python/CHANGELOG.md", "packages/js/CHANGELOG.md"):
        text = (project / name).read_text(encoding="utf-8")
        if not re.search(rf"^## \[?{re.escape(version)}\b", text, re.MULTILINE):
            raise ReleaseError(f"{name} has no section for {version}: add one")


def check_wheel(wheel: Path, version: str) -> None:
    """Check a wheel's contents, metadata and size.

    Raises:
        ReleaseError: something is missing, wrong or too much.
    """
    name = wheel.name.partition("-")[0]
    if wheel.stat().st_size > MOST_BYTES[name]:
        raise ReleaseError(f"{wheel.name} has {wheel.stat().st_size} bytes, over {MOST_BYTES[name]}")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        about = f"{name}-{version}.dist-info"
        tops = {file.partition("/")[0] for file in files}
        if tops != {*TOPS[name], about}:
            raise ReleaseError(f"{wheel.name} holds {sorted(tops)}, not {sorted({*TOPS[name], about})}")
        metadata = email.message_from_bytes(archive.read(f"{about}/METADATA"))
    _check_files(wheel.name, files)
    wanted = {"Name": name.replace("_", "-"), "Version": version, "License-Expression": "MIT"}
    for field, value in wanted.items():
        if metadata[field] != value:
            raise ReleaseError(f"{wheel.name}: {field} is {metadata[field]!r}, not {value!r}")
    for field in ("Summary", "Requires-Python", "License-File"):
        if not metadata[field]:
            raise ReleaseError(f"{wheel.name}: {field} is missing")


def check_archive(archive: Path) -> None:
    """Check the contents of a source distribution or an npm package.

    Raises:
        ReleaseError: it holds what it should not, or is too large.
    """
    with tarfile.open(archive) as held:
        names = [member.name.partition("/")[2] for member in held.getmembers() if member.isfile()]
    _check_files(archive.name, names)
    for wanted in ("README.md", "LICENSE"):
        if wanted not in names:
            raise ReleaseError(f"{archive.name} has no {wanted}")
    if archive.suffix == ".tgz" and archive.stat().st_size > MOST_BYTES_OF_NPM:
        raise ReleaseError(f"{archive.name} has {archive.stat().st_size} bytes, over {MOST_BYTES_OF_NPM}")


def uploads(dist: Path, version: str) -> list[list[str]]:
    """Return the commands that publish, in their order."""
    found = []
    for name in ("livekit_streaming_hub_client", "livekit_streaming_hub"):
        files = [dist / f"{name}-{version}.tar.gz", dist / f"{name}-{version}-py3-none-any.whl"]
        found.append(["uv", "publish", *map(str, files)])
    found.append(["npm", "publish", "--access", "public", str(dist / f"livekit-streaming-hub-{version}.tgz")])
    return found


def build(project: Path, dist: Path) -> None:
    """Build all packages of a project's directory."""
    _run("uv", "build", "-q", "--all-packages", "-o", str(dist), folder=project)
    js = project / "packages" / "js"
    _run("npm", "ci", "--no-audit", "--no-fund", folder=js)
    _run("npm", "pack", "--silent", "--pack-destination", str(dist), folder=js)


def export(folder: Path) -> None:
    """Write what git holds at HEAD into a directory."""
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S607
    subprocess.run(["tar", "x", "-C", str(folder)], input=packed.stdout, check=True)  # noqa: S603, S607


def main(arguments: list[str] | None = None) -> int:
    """Build, check, and print or run the uploads.

    Returns:
        0, or 1 where the release cannot be made.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("version", help="as in every pyproject.toml and package.json")
    parser.add_argument("--publish", action="store_true", help="upload; without it, only print the commands")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        project, dist = Path(temporary, "project"), Path(temporary, "dist")
        project.mkdir()
        dist.mkdir()
        try:
            export(project)
            check_versions(project, options.version)
            build(project, dist)
            for wheel in sorted(dist.glob("*.whl")):
                check_wheel(wheel, options.version)
            for archive in sorted([*dist.glob("*.tar.gz"), *dist.glob("*.tgz")]):
                check_archive(archive)
            for command in uploads(dist, options.version):
                print(shlex.join(command), flush=True)
                if options.publish:
                    _run(*command, folder=project)
        except (ReleaseError, subprocess.CalledProcessError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - our own commands


def _only(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "nothing"


def _check_files(archive: str, names: list[str]) -> None:
    foreign = [name for name in names if FOREIGN.search(name)]
    if foreign:
        raise ReleaseError(f"{archive} holds what is not to be published: {', '.join(foreign[:5])}")


if __name__ == "__main__":
    sys.exit(main())
