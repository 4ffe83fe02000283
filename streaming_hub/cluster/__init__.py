"""What the nodes of one hub share besides its events: the connection to Redis and who owns what.

A node is one hub process. Nodes with the same Redis and the same prefix are one hub. Knows no HTTP and no streams;
with a history in memory or in SQLite the hub is a single node and nothing here connects to anything.
"""
