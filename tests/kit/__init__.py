"""What tests share: waiting, processes, callers, streams, and a fake hub. Not about any one folder."""
