"""How many packages the client brings into a project."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from tests.structure.sources import ROOT

MOST = 12


def closure(name: str, *extras: str) -> set[str]:
    """Every package that the lock file has for one, itself included, on any platform and version of Python."""
    with (ROOT / "uv.lock").open("rb") as file:
        locked = {package["name"]: package for package in tomllib.load(file)["package"]}
    found: set[str] = set()
    wanted = [(name, extras)]
    while wanted:
        package, chosen = wanted.pop()
        found.add(package)
        record = locked[package]
        needed = [*record.get("dependencies", ())]
        for extra in chosen:
            needed += record["optional-dependencies"][extra]
        wanted += [(one["name"], tuple(one.get("extra", ()))) for one in needed if one["name"] not in found]
    return found


def test_the_base_install_is_small() -> None:
    found = closure("livekit-streaming-hub-client")
    assert len(found) <= MOST, sorted(found)
    assert not found & {"aiohttp", "livekit-agents"}


def test_the_base_install_can_verify_webhooks() -> None:
    assert "standardwebhooks" in closure("livekit-streaming-hub-client")


def test_an_extra_brings_what_it_is_for() -> None:
    assert "livekit-agents" in closure("livekit-streaming-hub-client", "livekit")


def test_everything_else_can_be_imported_without_the_extra() -> None:
    program = """
import sys
sys.modules["livekit"] = None  # importing it fails
from streaming_hub_client import *
print(follow.__name__, publish.__name__, verify_webhook.__name__)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.split() == ["follow", "publish", "verify_webhook"], ran.stderr
