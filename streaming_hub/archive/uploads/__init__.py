"""What LiveKit's agents upload: from the body of a request to the archive, and to the hub's events."""
