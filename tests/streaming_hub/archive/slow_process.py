"""A process beside the hub that takes its time: it says so while it works, or says nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from streaming_hub.sidecar.worker import HubLine, main

if TYPE_CHECKING:
    import socket


def serve(sock: socket.socket, config: dict[str, Any]) -> None:
    line = HubLine(sock, "slow")
    for number, what, _ in line.requests():
        line.begin(number)
        until = time.monotonic() + config["seconds"]
        while time.monotonic() < until:
            time.sleep(0.1)
            if what == "speaks":
                line.begin(number)
        line.answer(number, what)


if __name__ == "__main__":
    main(dict, serve)
