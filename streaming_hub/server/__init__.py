"""The HTTP server: sockets in, requests checked and bounded, streams handed to their writer.

Knows gevent's server, its sockets and the streams; knows no Flask and no endpoint but the stream's path.
"""
