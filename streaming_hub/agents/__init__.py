"""Starts, supervises, restarts and stops the agent process, and ends the sessions of a lost one.

The only directory that runs the agent as a subprocess. `states`, `leases`, `mode` and `output` are pure.
Uses the stream, the history and LiveKit's API; knows no HTTP of its own.
"""

from streaming_hub.agents.report import AgentStatus, Started
from streaming_hub.agents.states import Policy, State
from streaming_hub.agents.supervisor import Supervisor, SupervisorClosedError

__all__ = ["AgentStatus", "Policy", "Started", "State", "Supervisor", "SupervisorClosedError"]
