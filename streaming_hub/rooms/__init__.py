"""The current state of each room, computed from its events.

`facts` and `state` are pure; `current` reads the stream's hub and the history. Knows no HTTP.
"""
