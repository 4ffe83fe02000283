"""The HTTP server: sockets in, requests checked and bounded, streams handed to their writer.

Knows gevent's server, its sockets and the streams; knows neither Flask nor any endpoint except the stream's path.
"""
