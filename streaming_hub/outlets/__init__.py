"""Ways out of the hub: files that people download, and what is sent to others by itself."""
