"""What the supervisor's tests share: a supervisor of fake agents, and waiting with a deadline."""

import sys
from pathlib import Path

from streaming_hub.agents import Policy, Supervisor
from tests.kit.wait import until

FAKE = str(Path(__file__).with_name("fake_agent.py"))
QUICK = Policy(start_timeout=20.0, failed_grace=0.2, first_delay=0.02, max_delay=0.1, limit=3)


def command(*steps):
    return [sys.executable, "-I", "-S", FAKE, *steps]


class Watched:
    """A supervisor whose changes are kept in `changes`."""

    def __init__(self, *steps, argv=None, environ=None, **settings):
        self.changes = []
        settings.setdefault("policy", QUICK)
        self.supervisor = Supervisor(
            argv or command(*steps),
            environ=lambda mode, room: environ or {},
            on_state=self.changes.append,
            **settings,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.supervisor.stop(timeout=0.5)
        self.supervisor.close()

    def __getattr__(self, name):
        return getattr(self.supervisor, name)

    def states(self):
        return [change["state"] for change in list(self.changes)]

    def until_state(self, state, seconds=60.0):
        # The status has it a moment before the change is reported.
        until(
            lambda: self.status().state == state and self.states()[-1:] == [state],
            seconds,
            what=self.supervisor.status,
        )
        return self.status()

    def until_logged(self, text, seconds=60.0):
        until(lambda: any(text in line for line in self.status().log), seconds, what=self.supervisor.status)
        return next(line for line in self.status().log if text in line)


def bytes_written(pid):
    """What a process has written so far, to files, pipes and by write() to sockets."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"])
