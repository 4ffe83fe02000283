"""Outputs besides the stream: downloads and webhooks.

Built on the archive and the history; knows no Flask.
"""
