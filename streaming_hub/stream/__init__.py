"""From a subscriber's queue to its socket: the only place that knows sockets.

handover    takes a stream's socket out of the WSGI server, so that no greenlet, handler or environ remains
writer      sends to all sockets, notices hang-ups, beats hearts, closes who makes no progress
body        the same body as a generator, for any other WSGI server and for Flask's test client
readiness   which sockets are ready: epoll, or a watcher each
listening   the sockets that listen; who holds a port that is taken (`port_holder`)
server      gevent's WSGI server with the handover and with limits on what a request may cost
gunicorn    the same under gunicorn
"""
