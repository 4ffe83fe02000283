"""The description of the HTTP API: what `/openapi.json` answers and `/docs` shows.

`describe` (what the views declare and say) and `schemas` (from the code's own types) -> `document` -> `page`.
Only `reference` is imported before a client asks for the description.
"""
