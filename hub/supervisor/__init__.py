"""The agent process: started, watched, started again, stopped. The only place that knows subprocess.

`states` and `logs` are pure, `process` is one child, `report` is what is told, `watch` ties them together.
"""

from hub.supervisor.report import AgentStatus, Started
from hub.supervisor.states import Policy, State
from hub.supervisor.watch import Supervisor, SupervisorClosedError

__all__ = ["AgentStatus", "Policy", "Started", "State", "Supervisor", "SupervisorClosedError"]
