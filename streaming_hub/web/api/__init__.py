"""The HTTP endpoints, one module each.

A view reads the request, calls a service and returns a response; it has no rules of its own.
"""
