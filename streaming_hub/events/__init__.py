"""What an event is: as posted, as stored and as streamed, its types, and who may see it.

Pure: no I/O, no clock. Imports only errors, wording and settings from below.
"""
