"""Which program listens on a port: from Linux's /proc, or by `lsof` (macOS).

For messages only: if it cannot be found out, it is "another program".
"""

from __future__ import annotations

import ipaddress
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Final

from streaming_hub import portability

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNKNOWN: Final = "another program"
LSOF_SECONDS: Final = 3.0
KNOWN: Final = {"ControlCe": "macOS's AirPlay Receiver (System Settings, General, AirDrop & Handoff)"}
"""What programs are called in the system's own settings; names as `lsof` cuts them."""
_LISTENING: Final = "0A"


def port_holder(host: str, port: int) -> str:
    """Return which program listens at an address: `node (process 4711)`, or `another program`."""
    folder = portability.proc()
    found = _from_lsof(host, port) if folder is None else _from_proc(folder, host, port)
    if found is None:
        return UNKNOWN
    name, pid = found
    # A process names itself; the sentence stays on one line all the same.
    name = "".join(character if character.isprintable() else "?" for character in name)
    return next(
        (known for start, known in KNOWN.items() if name.startswith(start)), f"{name} (process {pid})"
    )


def _from_proc(folder: Path, host: str, port: int) -> tuple[str, int] | None:
    wanted = {f"socket:[{inode}]" for inode in _inodes(folder, host, port)}
    for process in folder.iterdir() if wanted else ():
        if not process.name.isdigit():
            continue
        try:
            if any(str(entry.readlink()) in wanted for entry in (process / "fd").iterdir()):
                return (process / "comm").read_text().strip(), int(process.name)
        except OSError:
            # It has ended, or belongs to another user: the message then says "another program".
            continue
    return None


def _inodes(folder: Path, host: str, port: int) -> Iterator[str]:
    """Yield the sockets that listen on a port of an address, or of all addresses (proc_net_tcp)."""
    for table in ("tcp", "tcp6"):
        try:
            rows = (folder / "net" / table).read_text().splitlines()[1:]
        except OSError:
            # The second one is missing if there is no IPv6.
            continue
        for row in rows:
            fields = row.split()
            address, _, number = fields[1].partition(":")
            if fields[3] == _LISTENING and int(number, 16) == port and _covers(_address(address), host):
                yield fields[9]


def _address(text: str) -> str:
    """Read an address of /proc/net: hexadecimal, each 32 bits in the machine's own order of bytes."""
    raw = b"".join(struct.pack("=I", int(text[place : place + 8], 16)) for place in range(0, len(text), 8))
    return str(ipaddress.ip_address(raw))


def _covers(listening: str, host: str) -> bool:
    return listening in ("*", host, "::", f"::ffff:{host}") or (listening == "0.0.0.0" and ":" not in host)  # noqa: S104 - compared


def _from_lsof(host: str, port: int) -> tuple[str, int] | None:
    program = shutil.which("lsof") or shutil.which("lsof", path="/usr/sbin")
    if program is None:
        return None
    try:
        ran = subprocess.run(  # noqa: S603 - fixed arguments and a number
            [program, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpcn"],
            capture_output=True,
            text=True,
            timeout=LSOF_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        # The message then says "another program".
        return None
    return _parse_lsof(ran.stdout, host, port)


def _parse_lsof(output: str, host: str, port: int) -> tuple[str, int] | None:
    """Read lsof's fields: `p` a process, `c` its command, `n` an address that it listens on."""
    name, pid = "", 0
    for line in output.splitlines():
        kind, value = line[:1], line[1:]
        if kind == "p":
            pid = int(value)
        elif kind == "c":
            name = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), value)
        elif (
            kind == "n" and value.endswith(f":{port}") and _covers(value.rpartition(":")[0].strip("[]"), host)
        ):
            return name, pid
    return None
