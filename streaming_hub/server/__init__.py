"""The HTTP server: sockets in, requests checked and bounded, streams handed over to their writer.

Knows gevent's server and the streams; knows no Flask and no endpoint.
"""
