"""Ways out of the hub besides the stream: files to download, and what is sent to other systems.

Reads what the archive and the history return; knows no Flask.
"""
