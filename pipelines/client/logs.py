"""`nashflow logs`: what the pods of a run have written, as long as there are pods."""

from typing import Any

import urllib3
from kubernetes import client, config
from rich.console import Console

from nashflow.components.shared.errors import UserError

from .access import Access
from .connection import Connection
from .failures import explain
from .runs import find_run

_RUN, _STEP = "pipeline/runid", "nashflow/step"
_NODE = "workflows.argoproj.io/node-name"
_CONTAINER = "main"
_SECONDS = (10.0, 60.0)


def print_logs(connection: Connection, name: str, step: str, console: Console) -> None:
    """Print the logs of a run's pods, in the order of their beginning, or why there is none.

    `step` is a step's or a task's name.

    Raises:
        UserError: no such run, no pods of it any more (says where their logs lie), or no right to read them.
    """
    run = find_run(connection, name)
    namespace = connection.namespace or "kubeflow"
    try:
        core = _core(connection.access)
        pods = core.list_namespaced_pod(namespace, label_selector=f"{_RUN}={run.run_id}", _request_timeout=_SECONDS)
        found = sorted(_of_step(pods.items, step), key=lambda pod: str(pod.metadata.creation_timestamp))
        if not found:
            raise UserError(_gone(run, step, namespace, bool(pods.items)))
        for pod in found:
            header = f"==> {_task(pod)}, pod {pod.metadata.name}, {pod.status.phase} <==\n"
            console.print(header + _log(core, pod), highlight=False, markup=False, soft_wrap=True, end="")
    except client.ApiException as error:
        said = explain(error)
        raise UserError(f"pods of {run.run_id} in the namespace {namespace}: {said}: {_where(run)}") from None
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(f"the Kubernetes API: no answer: {explain(error)}; {_where(run)}") from None


def _core(access: Access) -> Any:
    """The Kubernetes API of the given context, or of the pod that this is, or of the current context."""
    try:
        if not access.kube_context:
            config.load_incluster_config()
            return client.CoreV1Api()
    except config.ConfigException:
        pass
    try:
        return client.CoreV1Api(config.new_client_from_config(context=access.kube_context or None))
    except config.ConfigException as error:
        raise UserError(f"logs are read from pods: name a --kube-context: {' '.join(str(error).split())}") from None


def _of_step(pods: list[Any], step: str) -> list[Any]:
    """The pods in which steps run, drivers left out; of one step if that is given."""
    executors = [pod for pod in pods if _task(pod)]
    return [pod for pod in executors if not step or step in (_task(pod), (pod.metadata.labels or {}).get(_STEP))]


def _task(pod: Any) -> str:
    """The name of the task whose step runs in a pod; empty for a driver's."""
    nodes = (pod.metadata.annotations or {}).get(_NODE, "").split(".")
    return nodes[-2] if len(nodes) > 1 and nodes[-1].partition("(")[0] == "executor" else ""


def _log(core: Any, pod: Any) -> str:
    """What a pod has written; why it cannot be read, where that is the matter of this pod alone."""
    name, namespace = pod.metadata.name, pod.metadata.namespace
    try:
        answer = core.read_namespaced_pod_log(
            name, namespace, container=_CONTAINER, _preload_content=False, _request_timeout=_SECONDS
        )
    except client.ApiException as error:
        if error.status in (401, 403):
            raise
        return f"no log: {explain(error)}\n"
    text = str(answer.data.decode(errors="replace"))
    return text if text.endswith("\n") or not text else text + "\n"


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
