"""The description of the HTTP API: what `/openapi.json` answers and `/docs` shows.

Tables (one entry an endpoint) and `schemas` (made from the code's own types) -> `document` -> `page`.
Nothing here is imported before a client asks for the description.
The scope of an entry comes from its view (`streaming_hub.web.declared`).
"""
