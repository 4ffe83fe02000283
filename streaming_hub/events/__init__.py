"""Events as posted, stored and streamed; their types, and who may see them.

Pure: no I/O, no clock. Only `redaction` runs code from outside, the operator's callable. Imports errors and wording.
"""
