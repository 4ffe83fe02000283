"""From the history to every subscriber's socket: fan-out in slices, and the writer that sends.

`hub`, `audience` and `subscriber` know no sockets; `writer`, `readiness`, `sockets` and `disk` do.
Imports events and the history; knows no HTTP server.
"""
