"""The console as the hub serves it, without a browser."""
