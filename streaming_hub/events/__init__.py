"""What an event is: as posted, as stored and as streamed, its types, and who may see it.

Pure: no I/O, no clock; only `redaction` runs the operator's callable. Imports errors and wording.
"""
