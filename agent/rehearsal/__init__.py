"""A rehearsal: recorded speech through a real AgentSession, with scripted models, without LiveKit or keys."""
