"""The real server with an agent that only reports ready.

python -m tests.streaming_hub.web.hub_of_fake_agents --port 0
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import contextlib
import re
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from tests.kit.process import ROOT, environ

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def running(**settings: str) -> Iterator[str]:
    """Run it on a free port, with its history in memory; give its address."""
    environment = environ(**{"STREAM_HISTORY": "memory://", "PYTHONPATH": str(ROOT)} | settings)
    program = [sys.executable, "-u", "-m", "tests.streaming_hub.web.hub_of_fake_agents", "--port", "0"]
    with (
        # The project's own folder may have a `.env.local`.
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = iter(process.stdout.readline, "")
            yield next(match[0] for line in said if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    from flask_server import create_app
    from streaming_hub import command
    from tests.streaming_hub.agents.watched import command as fake_agent

    sys.exit(command.run(lambda settings: create_app(settings, agent_command=fake_agent("drain")), None))
