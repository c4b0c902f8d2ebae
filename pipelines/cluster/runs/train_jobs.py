"""The TrainJobs that a cancelled run leaves behind, where the pod that was to delete them is gone."""

from collections.abc import Callable
from typing import Any

from ..api.connection import Connection
from ..api.sight import Sight
from ..pods.pods import pods_of
from .planned import planned_tasks


def delete_train_jobs(connection: Connection, run: Any, say: Callable[[str], None]) -> None:
    """Delete those of a run that has ended; say which, or that they cannot be seen from here."""
    if not any(task.job for task in planned_tasks(connection, run).values()):
        return
    where = f"--selector pipeline/runid={run.run_id} --namespace {connection.namespace or 'kubeflow'}"
    missed = f"any that its steps have left behind train on until `kubectl delete trainjobs {where}`"
    nothing: list[str] = []
    sight = Sight("the run's TrainJobs", missed, say)
    for name in sight.of(lambda: pods_of(connection, run.run_id).delete_train_jobs(), nothing):
        say(f"the TrainJob {name} was left behind, and is being deleted")
