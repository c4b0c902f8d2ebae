"""A run's task details, as KFP's API server makes them of a workflow's nodes."""

import uuid
from datetime import UTC, datetime
from typing import Any

import kfp_server_api as api

from ..argo.nodes import Node

STATES = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "SUCCEEDED",
    "Skipped": "SKIPPED",
    "Failed": "FAILED",
    "Error": "FAILED",
}
"""By the phase of a node or of a workflow; an omitted node has none."""
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Details:
    """What has been reported of one run's nodes. What is reported no more stays."""

    def __init__(self, run_id: str, created: datetime) -> None:
        self._run_id, self._created = run_id, created
        self._tasks: dict[str, Any] = {}

    def report(self, nodes: dict[str, Node]) -> list[Any]:
        """Take over the nodes of a workflow; every task so far."""
        for key, node in nodes.items():
            state = STATES.get(node["phase"])
            task = self._tasks.get(key)
            if task is None:
                task = self._tasks[key] = api.V2beta1PipelineTaskDetail(
                    run_id=self._run_id,
                    task_id=str(uuid.uuid4()),
                    display_name=node["displayName"],
                    create_time=self._created,
                    state_history=[],
                )
            if not task.state_history or task.state != state:
                entry = api.V2beta1RuntimeStatus(update_time=datetime.now(UTC), state=state)
                task.state_history = [*task.state_history, entry]
            task.state = state
            task.start_time = datetime.fromisoformat(node["startedAt"])
            task.end_time = datetime.fromisoformat(node["finishedAt"]) if node["finishedAt"] else _NEVER
            task.child_tasks = [
                api.PipelineTaskDetailChildTask(pod_name=child) for child in node.get("children", ())
            ] or None
        return list(self._tasks.values())
