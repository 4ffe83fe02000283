"""The agent process: started, watched, started again, stopped. The only place that knows subprocess.

`states` and `logs` are pure, `process` is one child, `report` is what is told, `watch` ties them together.
"""

from streaming_hub.agents.report import AgentStatus, Started
from streaming_hub.agents.states import Policy, State
from streaming_hub.agents.supervisor import Supervisor, SupervisorClosedError

__all__ = ["AgentStatus", "Policy", "Started", "State", "Supervisor", "SupervisorClosedError"]
