"""What LiveKit's agents upload, from the request's body to the archive and to events.

spool        bodies on disk, until they are archived       in the hub's process
otlp         a body -> spans and log lines                  pure
recording    a recording's parts                            pure
telemetry    spans, lines and recordings in the database    in the archive's process
trace        spans -> the stages of turns                   pure
translate    spans and recordings -> the hub's events       pure
reconcile    LiveKit's chat history against the transcript  pure
"""
