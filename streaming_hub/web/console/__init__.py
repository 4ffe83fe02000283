"""The pages that the hub serves, and the files they load.

Serves files only; the pages themselves use the API like any other client.
"""
