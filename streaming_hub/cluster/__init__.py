"""What the nodes of a hub share besides events: the connection to Redis, and leases.

A node is one hub process; nodes with the same Redis and the same prefix form one hub. Knows no HTTP and no streams.
With a history in memory or in SQLite the hub is a single node, and nothing here opens a connection.
"""
