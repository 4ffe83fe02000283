"""The HTTP server: accepts sockets, checks and bounds requests, hands streams to the writer.

Knows gevent's server, its sockets and the streams. Knows neither Flask nor any endpoint except the stream's path.
"""
