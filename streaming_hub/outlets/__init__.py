"""Outputs besides the stream: files to download, and webhooks to other systems.

Uses what the archive and the history return; knows no Flask.
"""
