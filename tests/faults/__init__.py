"""Faults produced with real processes and sockets."""
