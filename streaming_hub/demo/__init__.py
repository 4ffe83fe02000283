"""`--demo N`: simulated calls, posted through the public API by a process of their own.

`scenes` and `calls` are pure: the same number always gives the same calls. `__main__` is the child process that posts
them, `process` is how the hub starts and ends it.
"""
