"""Start-up of the server: streaming_hub.server.serving."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from streaming_hub.server import serving


@pytest.mark.parametrize(("hard", "most"), [(1_000, 800), (150, 1)])
def test_streams_are_capped_by_the_descriptors_there_are(hard: int, most: int) -> None:
    # Limits can only be lowered: so in a process of its own.
    script = f"""
        from gevent import monkey
        monkey.patch_all()
        import resource
        from flask_server import create_app
        from streaming_hub.server.serving import begin
        from streaming_hub.settings import Settings
        from streaming_hub.web.current import services_of
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(100, {hard}), {hard}))
        parts = services_of(create_app(Settings(history="memory://")))
        writer = begin(parts, "http://127.0.0.1:1")
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], parts.max_clients, parts.url, parts.writer is writer)
        parts.stop()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [str(hard), str(most), "http://127.0.0.1:1", "True"]


@pytest.mark.parametrize(
    ("limits", "refuses_above", "reached"),
    [
        pytest.param(
            (256, resource.RLIM_INFINITY), 245_760, 131_072, id="no hard limit, but one of the kernel's"
        ),
        pytest.param((256, resource.RLIM_INFINITY), 10**9, serving.MOST_DESCRIPTORS, id="no limit"),
        pytest.param((256, 4_096), 10**9, 4_096, id="a hard limit"),
        pytest.param((1_024, resource.RLIM_INFINITY), 1_024, 1_024, id="nothing more to be had"),
        pytest.param((8_192, 8_192), 10**9, 8_192, id="already there"),
        pytest.param(
            (resource.RLIM_INFINITY, resource.RLIM_INFINITY), 0, serving.MOST_DESCRIPTORS, id="unlimited"
        ),
    ],
)
def test_the_limit_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], refuses_above: int, reached: int
) -> None:
    """macOS says that there is no hard limit, and refuses what is above kern.maxfilesperproc."""
    held = [limits]

    def setrlimit(_: int, wanted: tuple[int, int]) -> None:
        assert wanted[1] == limits[1], "a hard limit that is lowered cannot be raised again"
        if wanted[0] > refuses_above:
            raise ValueError("current limit exceeds maximum limit")
        held[0] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: held[0])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert serving.raise_descriptor_limit() == reached


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (("127.0.0.1", 5000), "http://127.0.0.1:5000"),
        (("0.0.0.0", 80), "http://127.0.0.1:80"),
        (("::", 80, 0, 0), "http://127.0.0.1:80"),
        (("::1", 5000, 0, 0), "http://[::1]:5000"),
    ],
)
def test_the_agent_reaches_the_server_where_it_listens(name: tuple[Any, ...], url: str) -> None:
    class Listener:
        def getsockname(self) -> tuple[Any, ...]:
            return name

    assert serving.url_of(Listener()) == url  # type: ignore[arg-type] # what is used of a socket
