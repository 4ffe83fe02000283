"""A room's present state: what is kept of its events, and how it is read.

`facts` and `state` are pure; `current` reads the stream's hub and the history. Knows no HTTP.
"""
