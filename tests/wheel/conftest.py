"""The built artefacts, installed into environments of their own. Needs uv, and a package registry or its cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 110
FOREIGN = ("STREAM_", "LIVEKIT_", "OPENAI_", "AGENT_", "UV_PROJECT", "VIRTUAL_ENV", "PYTHON")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what points to this project or sets up the hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, **more}


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its successful end; return what it printed."""
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment() if env is None else dict(env),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout}\n{ran.stderr}"
    return ran.stdout


@dataclass
class Installed:
    """An environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def packages(self) -> set[str]:
        """The names of all installed packages."""
        listed = run("uv", "pip", "list", "-q", "--format=freeze", "-p", self.python, cwd=self.folder)
        return {line.partition("==")[0].partition(" @ ")[0].strip() for line in listed.splitlines()}

    def size(self) -> int:
        """Bytes."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file())


@dataclass
class Artefacts:
    """What `uv build` made of the files that git holds.

    Attributes:
        project: a copy of those files.
        dist: the folder of the artefacts.
        constraints: a file with the versions of the lock file.
    """

    project: Path
    dist: Path
    constraints: Path

    def wheel(self, name: str) -> Path:
        (found,) = self.dist.glob(f"{name}-[0-9]*.whl")
        return found

    def install(self, folder: Path, name: str, *extras: str) -> Installed:
        """Install a wheel into a new environment."""
        run("uv", "venv", "-q", folder, cwd=folder.parent)
        installed = Installed(folder)
        chosen = f"[{','.join(extras)}]" if extras else ""
        run(
            *("uv", "pip", "install", "-q", "-p", installed.python),
            *("--constraints", self.constraints, "--find-links", self.dist),
            f"{name.replace('_', '-')}{chosen} @ {self.wheel(name).as_uri()}",
            cwd=folder.parent,
        )
        return installed


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    """Both packages, built from nothing but what git holds."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not on PATH")
    folder = tmp_path_factory.mktemp("artefacts")
    project = folder / "project"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # and not deleted since
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    run("uv", "build", "-q", "--all-packages", "-o", folder / "dist", cwd=project)
    constraints = folder / "constraints.txt"
    run(
        *("uv", "export", "-q", "--frozen", "--all-extras", "--no-hashes", "--no-annotate"),
        *("--no-emit-workspace", "-o", constraints),
        cwd=project,
    )
    return Artefacts(project, folder / "dist", constraints)


@pytest.fixture(scope="session")
def base(artefacts: Artefacts, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The hub without extras."""
    return artefacts.install(tmp_path_factory.mktemp("base") / "env", "livekit_streaming_hub")


@pytest.fixture(scope="session")
def with_agent(artefacts: Artefacts, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The hub with the extra `agent`."""
    return artefacts.install(tmp_path_factory.mktemp("agent") / "env", "livekit_streaming_hub", "agent")
