"""A room's present state: what is kept of its events, and how it is read.

Reads events and the history; knows no HTTP.
"""
