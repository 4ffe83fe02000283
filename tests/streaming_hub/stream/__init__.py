"""Tests of the sockets' side."""
