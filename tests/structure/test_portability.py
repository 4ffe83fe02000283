"""What only Linux has is asked for in one place (streaming_hub.portability), so that the switch hides all of it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.structure.sources import ROOT, modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHIPPED = modules("streaming_hub", "flask_server.py", "agent", "examples", "packages/python/src")

LINUX_ONLY = {
    "select": r"epoll|EPOLL\w*",
    "socket": r"TCP_(KEEPIDLE|USER_TIMEOUT|QUICKACK|CORK|DEFER_ACCEPT|INFO|CONGESTION|LINGER2|SYNCNT)"
    r"|SO_(PEERCRED|BINDTODEVICE|PRIORITY|MARK|DOMAIN|PROTOCOL|INCOMING_CPU|PASSCRED|PEERSEC)"
    r"|SOCK_(CLOEXEC|NONBLOCK)|MSG_(NOSIGNAL|MORE|ERRQUEUE|CMSG_CLOEXEC)|AF_(NETLINK|PACKET|ALG|VSOCK|TIPC)",
    "os": r"sched_\w+|memfd_create|eventfd\w*|pidfd_open|splice|copy_file_range|posix_fadvise|posix_fallocate"
    r"|getrandom|setns|unshare|pipe2|fdatasync|getres[ug]id|setres[ug]id|\w+xattr|timerfd\w*"
    r"|O_(TMPFILE|PATH|DIRECT|NOATIME|LARGEFILE|RSYNC)|SCHED_\w+|MFD_\w+|EFD_\w+",
    "signal": r"sigwaitinfo|sigtimedwait|SIGPOLL|SIGPWR|SIGSTKFLT|SIGCLD|SIGRT\w+|pidfd_send_signal",
    "resource": r"prlimit|RLIMIT_(MSGQUEUE|NICE|OFILE|RTPRIO|RTTIME|SIGPENDING)|RUSAGE_THREAD",
    "time": r"CLOCK_(BOOTTIME|TAI|PROF|HIGHRES)",
    "fcntl": r"F_(SETLEASE|GETLEASE|NOTIFY|SETSIG|GETSIG|OFD_\w+|SETPIPE_SZ|GETPIPE_SZ|ADD_SEALS|GET_SEALS)",
}
"""Names of modules that Python lacks on macOS."""
FORBIDDEN = {"prctl", "inotify", "pyinotify", "sdnotify"}
"""Libraries of Linux alone."""
LINUX_PATH = re.compile(r"^(/proc|/sys|/dev/shm)(/|$)|^\0.")
"""What strings begin with that are paths of Linux, or abstract sockets."""
ALLOWED = {
    ("streaming_hub/portability.py", "/proc"),
    # The type is only made where the system has it.
    *(
        ("streaming_hub/stream/readiness.py", f"select.EPOLL{name}")
        for name in ("IN", "OUT", "RDHUP", "HUP", "ERR")
    ),
}


def linux_parts(source: str) -> Iterator[str]:
    """Yield the uses of what only Linux has."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                pattern = LINUX_ONLY.get(module.removeprefix("_"))
                if pattern and re.fullmatch(pattern, name):
                    yield f"{module}.{name}"
            case ast.ImportFrom(module=str(module), names=aliases):
                pattern = LINUX_ONLY.get(module.removeprefix("_"), r"(?!)")
                yield from (f"{module}.{one.name}" for one in aliases if re.fullmatch(pattern, one.name))
                yield from (module for root in [module.partition(".")[0]] if root in FORBIDDEN)
            case ast.Import(names=aliases):
                yield from (one.name for one in aliases if one.name.partition(".")[0] in FORBIDDEN)
            case ast.Constant(value=str(text)) if LINUX_PATH.match(text):
                yield text


def found(path: Path) -> set[tuple[str, str]]:
    return {(path.relative_to(ROOT).as_posix(), part) for part in linux_parts(path.read_text())}


def test_what_only_linux_has_is_asked_for_in_one_place() -> None:
    assert set().union(*map(found, SHIPPED)) == ALLOWED


def test_each_kind_would_be_found() -> None:
    source = """
import select, _socket, prctl
from os import sched_yield
select.epoll()
sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_USER_TIMEOUT, 1)
open("/proc/self/status")
sock.bind("\\0name")
portability.extra(_socket, "TCP_KEEPIDLE")
"""
    assert set(linux_parts(source)) == {
        *(
            "select.epoll",
            "_socket.TCP_USER_TIMEOUT",
            "prctl",
            "os.sched_yield",
            "/proc/self/status",
            "\0name",
        )
    }
