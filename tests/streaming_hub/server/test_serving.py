"""What serving begins with: streaming_hub.server.serving."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


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
        from streaming_hub.web import services_of
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
