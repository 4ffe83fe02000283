"""The agent process and the lives of its sessions: started, watched, restarted, ended.

The only folder that runs the agent as a subprocess. `states`, `leases`, `mode` and `output` are pure.
Imports the stream, the history and LiveKit's API from below; knows no HTTP of its own.
"""

from streaming_hub.agents.report import AgentStatus, Started
from streaming_hub.agents.states import Policy, State
from streaming_hub.agents.supervisor import Supervisor, SupervisorClosedError

__all__ = ["AgentStatus", "Policy", "Started", "State", "Supervisor", "SupervisorClosedError"]
