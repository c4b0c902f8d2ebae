"""`nashflow logs`: what the pods of a run have written, as long as there are pods."""

from typing import Any

import urllib3
from kubernetes.client import ApiException
from rich.console import Console

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest

from ...steps import STEPS
from ..api.connection import Connection
from ..api.failures import explain
from ..runs.planned import planned_tasks
from ..runs.runs import find_run
from ..runs.tasks import place_of
from .follow_logs import follow_logs
from .log_lines import shown_lines
from .logged_pods import header_of, is_wanted
from .pods import Json, Pods, is_driver, pods_of

_PATIENCE_SECONDS, _FOLLOWING_SECONDS = 20.0, 600.0


def print_logs(connection: Connection, name: str, step: str, raw: bool, follow: bool, console: Console) -> None:
    """Print the logs of a run's pods, in the order of their beginning, or why there is none.

    `step` is a step's, a task's or a driver's name; without it drivers are left out, but for those that failed. `raw`:
    with KFP's and Argo's own lines. `follow`: go on, also with pods that there will be, until the run ends.

    Raises:
        UserError: no such run or step, no pods of it any more (says where their logs lie), or no right to read them.
        ConnectionError: the Kubernetes API does not answer.
    """
    run = find_run(connection, name)
    if step and not place_of(step):
        known = nearest(step, [*STEPS, *planned_tasks(connection, run)])
        raise UserError(f"--step {step}: no step, task or driver of a run{known}")
    pods = pods_of(connection, run.run_id, _FOLLOWING_SECONDS if follow else _PATIENCE_SECONDS)
    try:
        if follow:
            if not follow_logs(connection, run, pods, step, raw, console):
                raise UserError(_gone(run, step, pods.namespace, bool(pods.find())))
            return
        every = pods.find()
        found = [pod for pod in every if is_wanted(pod, step)]
        if not found:
            raise UserError(_gone(run, step, pods.namespace, bool(every)))
        for pod in found:
            log = _log(pods, pod)
            lines = log if raw else shown_lines(log, is_driver(pod))
            console.print("\n".join([header_of(pod), *lines]), soft_wrap=True)
    except ApiException as error:
        said = explain(error)
        raise UserError(f"pods of {run.run_id} in the namespace {pods.namespace}: {said}: {_where(run)}") from None
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(f"the Kubernetes API: no answer: {explain(error)}; {_where(run)}") from None


def _log(pods: Pods, pod: Json) -> list[str]:
    """The log of a pod, or why it cannot be read, if only this pod is concerned."""
    try:
        return pods.log(pod["metadata"]["name"]).splitlines()
    except ApiException as error:
        if error.status in (401, 403):
            raise
        return [f"no log: {explain(error)}"]


def _gone(run: Any, step: str, namespace: str, others: bool) -> str:
    if step and others:
        return f"--step {step}: the run {run.run_id} has no such pod, or not any more; {_where(run)}"
    return f"the run {run.run_id} has no pods in the namespace {namespace}, or not any more; {_where(run)}"


def _where(run: Any) -> str:
    """Where KFP's launcher leaves a step's log at its end."""
    root = (run.runtime_config.pipeline_root if run.runtime_config else None) or (
        "the pipeline root (defaultPipelineRoot in the ConfigMap kfp-launcher)"
    )
    return f"logs of steps that have ended lie below {root}, in <pipeline>/{run.run_id}/<task>/…/executor-logs"
