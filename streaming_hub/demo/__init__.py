"""`--demo N`: simulated calls, posted through the public API by a child process.

`scenes` and `calls` are pure: the same number always gives the same calls. `__main__` is the child process,
`process` starts and stops it.
"""
