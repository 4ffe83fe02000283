"""The server: everything between a published event and a subscriber's socket. It never imports agent."""

__version__ = "0.1.0"
