"""Answers names from a file, so that a test can change what a name means: `RESOLVING` has lines of `NAME ADDRESS`.

Python imports this at its start where the folder is on PYTHONPATH.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

system = socket.getaddrinfo
table = os.environ.get("RESOLVING")


def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
    lines = Path(table or os.devnull).read_text().split("\n")
    found = [line.split()[1] for line in lines if line.split()[:1] == [host]]
    if not found:
        return system(host, port, *arguments, **options)
    return [answer for address in found for answer in system(address, port, *arguments, **options)]


if table:
    socket.getaddrinfo = getaddrinfo
