"""The HTTP endpoints, one module each.

A view reads the request, calls a service and returns an answer; it holds no rules of its own.
"""
