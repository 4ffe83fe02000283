"""The description of the HTTP API: what `/openapi.json` answers and `/docs` shows.

    endpoint                                        the words: Endpoint, Parameter, Content, Answer
    publishing, reading, archive, agents, livekit, server    the tables: one entry an endpoint
    schemas                                         JSON Schemas, made from the code's own types
    document                                        tables -> OpenAPI 3.1
    page                                            OpenAPI -> HTML

A new endpoint is one entry in a table. Its scope comes from its view (`streaming_hub.web.declared`); a test compares
the tables with the application's routes. Nothing here is imported before somebody asks for the description.
"""
