"""KFP's driver: it resolves a task's inputs, puts its execution into ML Metadata, and writes the patch of its pod."""

import json
import posixpath
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..metadata import CONTAINER, DAG, AlreadyExists, Execution, Metadata
from ..wire import compact
from .conditions import holds
from .inputs import Task, items, resolve
from .patch import pod_patch
from .upstream import DriverError

STORE = {
    "Provider": "minio",
    "Params": {
        "accessKeyKey": "accesskey",
        "disableSSL": "true",
        "endpoint": "seaweedfs.kubeflow:9000",
        "fromEnv": "false",
        "maxRetries": "5",
        "region": "minio",
        "secretKeyKey": "secretkey",
        "secretName": "mlpipeline-minio-artifact",
    },
}
"""`store_session_info` of an artifact."""
_FOLDERS = {"gs": "gcs", "s3": "s3", "minio": "minio"}


@dataclass
class Driven:
    """What a driver writes for Argo, and what it prints."""

    outputs: dict[str, str]
    log: list[str] = field(default_factory=list)


def drive(metadata: Metadata, flags: dict[str, str], pipeline_root: str, salt: Callable[[], str]) -> Driven:
    """Run a driver with its command line; `salt` makes the random part of output paths.

    Raises:
        DriverError: as the driver ends with it, on its last line.
    """
    if flags["type"] == "ROOT_DAG":
        config = json.loads(flags["runtime_config"])
        name = f"run/{flags['run_id']}"
        root = metadata.named(DAG, name) or metadata.create(
            Execution(DAG, flags["run_id"], name=name, properties={"inputs": config["parameterValues"]}), {}
        )
        return _outputs(root.id, None, None)
    graph = metadata.get(int(flags["dag_execution_id"]))
    number = int(flags["iteration_index"])
    task = Task(
        name=flags["task_name"],
        spec=json.loads(flags["task"]),
        component=json.loads(flags["component"]),
        placeholders=_placeholders(flags),
        is_graph=flags["type"] == "DAG",
        number=number if number >= 0 else None,
    )
    try:
        if task.is_graph:
            return _drive_graph(metadata, graph, task)
        return _drive_container(metadata, graph, task, flags, pipeline_root, salt())
    except DriverError as error:
        raise DriverError(
            f"driver.{flags['type'].replace('CONTAINER', 'Container')}({_info(flags, task)}) failed: {error}"
        ) from error


def _drive_graph(metadata: Metadata, graph: Execution, task: Task) -> Driven:
    parameters, _, ids = resolve(metadata, graph, task)
    triggered = _triggered(task, parameters)
    count = None
    if task.iterator and task.number is None and triggered is not False:
        source = task.iterator["items"]
        values = parameters[source["inputParameter"]] if "inputParameter" in source else json.loads(source["raw"])
        if "raw" in source:
            parameters[task.iterator["itemInput"]] = values
        count = len(items(values))
    outputs = task.component["dag"].get("outputs", {})
    properties = {
        "inputs": parameters,
        "artifact_producers": json.dumps(outputs.get("artifacts", {})),
        "parameter_producers": json.dumps(outputs.get("parameters", {})),
        "total_dag_tasks": len(task.component["dag"]["tasks"]),
    }
    if count is not None:
        properties["iteration_count"] = count
    execution = _create(metadata, graph, task, DAG, triggered, properties, ids)
    return _outputs(execution.id, triggered, count)


def _drive_container(
    metadata: Metadata, graph: Execution, task: Task, flags: dict[str, str], pipeline_root: str, salt: str
) -> Driven:
    parameters, artifacts, ids = resolve(metadata, graph, task)
    triggered = _triggered(task, parameters)
    execution = _create(metadata, graph, task, CONTAINER, triggered, {"inputs": parameters}, ids)
    driven = _outputs(None, triggered, None)
    if triggered is False:
        return driven
    inputs = {"artifacts": artifacts, "parameterValues": parameters}
    folder = f"{pipeline_root}/{task.name}/{salt}"
    component = _with_logs(task.component)
    executor_input = {
        "inputs": {key: value for key, value in inputs.items() if value},
        "outputs": _provisioned(component.get("outputDefinitions", {}), folder),
    }
    patch = pod_patch(
        json.loads(flags["container"]),
        component,
        executor_input,
        json.loads(flags["kubernetes_config"] or "{}"),
        {"pipeline_name": flags["pipeline_name"], "run_id": flags["run_id"], "execution_id": str(execution.id)},
    )
    driven.outputs |= {"pod-spec-patch": compact(patch), "cached-decision": "false"}
    driven.log = [f"output execution.ID={execution.id}", f"output podSpecPatch: {len(compact(patch))} bytes"]
    driven.log.append("output ExecutorInput:" + json.dumps(executor_input, indent=2))
    return driven


def _create(
    metadata: Metadata,
    graph: Execution,
    task: Task,
    kind: str,
    triggered: bool | None,
    properties: dict[str, Any],
    ids: dict[str, list[int]],
) -> Execution:
    state = "CANCELED" if triggered is False else "RUNNING"
    properties = {"display_name": task.spec["taskInfo"]["name"], **properties}
    execution = Execution(kind, graph.run, task.name, graph.id, task.number, None, state, properties)
    try:
        return metadata.create(execution, ids)
    except AlreadyExists as error:
        if kind == DAG:
            raise DriverError(f"rpc error: code = AlreadyExists desc = Given node already exists: {error}") from error
        # The driver takes it for an execution of an attempt before, and looks that up by the name that it has not.
        raise DriverError(
            f'failed to lookup existing execution: no execution found for type="{CONTAINER}", name=""'
        ) from error


def _triggered(task: Task, parameters: dict[str, Any]) -> bool | None:
    condition = task.spec.get("triggerPolicy", {}).get("condition")
    return holds(condition, parameters) if condition else None


def _outputs(execution: int | None, condition: bool | None, count: int | None) -> Driven:
    outputs = {"condition": "nil" if condition is None else str(condition).lower()}
    if execution is not None:
        outputs |= {"execution-id": str(execution), "iteration-count": str(count or 0)}
    return Driven(outputs, [f"output execution.ID={execution}"] if execution is not None else [])


def _with_logs(component: dict[str, Any]) -> dict[str, Any]:
    """The component with one more output: KFP publishes the logs of every task."""
    definitions = component.get("outputDefinitions", {})
    logs = {"artifactType": {"schemaTitle": "system.Artifact"}}
    artifacts = {**definitions.get("artifacts", {}), "executor-logs": logs}
    return {**component, "outputDefinitions": {**definitions, "artifacts": artifacts}}


def _provisioned(definitions: dict[str, Any], folder: str) -> dict[str, Any]:
    """Where a task's outputs are to be."""
    artifacts = {
        name: {"artifacts": [{"name": name, "type": declared["artifactType"], "uri": f"{folder}/{name}"}]}
        for name, declared in definitions.get("artifacts", {}).items()
    }
    parameters = {name: {"outputFile": f"/tmp/kfp/outputs/{name}"} for name in definitions.get("parameters", {})}
    file = posixpath.join(local_path(folder), "output_metadata.json")
    return {**({"parameters": parameters} if parameters else {}), "artifacts": artifacts, "outputFile": file}


def local_path(uri: str) -> str:
    """Where an object is in a step's pod."""
    scheme, _, rest = uri.partition("://")
    return f"/{_FOLDERS[scheme]}/{rest}"


def _placeholders(flags: dict[str, str]) -> dict[str, str]:
    return {
        "{{$.pipeline_job_name}}": flags["run_display_name"],
        "{{$.pipeline_job_resource_name}}": flags["run_name"],
        "{{$.pipeline_job_uuid}}": flags["run_id"],
        "{{$.pipeline_task_name}}": flags["task_name"],
        "{{$.pipeline_task_uuid}}": flags["dag_execution_id"],
        "{{$.pipeline_job_create_time_utc}}": flags["pipeline_job_create_time_utc"],
    }


def _info(flags: dict[str, str], task: Task) -> str:
    return (
        f"pipelineName={flags['pipeline_name']}, runID={flags['run_id']}, "
        f'taskDisplayName="{task.spec["taskInfo"]["name"]}", taskName="{task.name}", '
        f'component="{task.spec["componentRef"]["name"]}", dagExecutionID={flags["dag_execution_id"]}, componentSpec'
    )


def new_salt() -> str:
    """The random part of a task's output paths."""
    return str(uuid.uuid4())
