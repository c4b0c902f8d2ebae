"""The inputs of a task, as a driver resolves them."""

import json
from dataclasses import dataclass
from typing import Any

from ..metadata import Artifact, Execution, Metadata
from ..wire import compact
from .upstream import DriverError, artifacts, find, parameter

_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
}


@dataclass
class Task:
    """What a driver is told of the task that it drives."""

    name: str
    spec: dict[str, Any]
    component: dict[str, Any]
    placeholders: dict[str, str]
    """Values of `{{$.pipeline_job_uuid}}` and its family, which an argument may be as a whole."""
    is_graph: bool
    number: int | None = None
    """Which item of a loop."""

    @property
    def iterator(self) -> dict[str, Any] | None:
        """The loop over a parameter, if it is one."""
        return self.spec.get("parameterIterator")


Inputs = tuple[dict[str, Any], dict[str, Any], dict[str, list[int]]]


def resolve(metadata: Metadata, graph: Execution, task: Task) -> Inputs:
    """Parameters, artifacts as an executor input has them, and the artifacts' ids.

    Raises:
        DriverError: an input that is not there, not passed, null, or of another type than declared.
    """
    parameters: dict[str, Any] = {}
    found: dict[str, list[Artifact]] = {}
    typed: set[str] = set()
    if task.number is not None:
        parameters = _item(graph, task)
        found = {name: [artifact] for name, artifact in metadata.artifacts(graph.id, "INPUT").items()}
    else:
        if task.is_graph:
            parameters = _optional(task)
        for name, source in task.spec.get("inputs", {}).get("parameters", {}).items():
            value = _parameter(metadata, graph, task, source)
            declared = _declared(task).get(name, {})
            if value is None:
                if declared.get("isOptional"):
                    continue
                raise DriverError(
                    f"the resolved input parameter is null: {source.get('componentInputParameter', name)}"
                )
            parameters[name] = _selected(value, source)
        given = metadata.artifacts(graph.id, "INPUT")
        for name, source in task.spec.get("inputs", {}).get("artifacts", {}).items():
            if "componentInputArtifact" in source:
                inner = source["componentInputArtifact"]
                if inner not in given:
                    raise DriverError(
                        f"failed to resolve input artifact {name}: parent DAG does not have input artifact {inner}"
                    )
                found[name] = [given[inner]]
            else:
                output = source["taskOutputArtifact"]
                found[name] = artifacts(metadata, graph, output["producerTask"], output["outputArtifactKey"])
                typed.add(name)
    _check(task, parameters)
    runtime = {
        name: {"artifacts": [_runtime(artifact, name in typed) for artifact in several]}
        for name, several in found.items()
    }
    return parameters, runtime, {name: [artifact.id for artifact in several] for name, several in found.items()}


def items(value: Any) -> list[Any]:
    """What a loop goes over."""
    return json.loads(value) if isinstance(value, str) else list(value)


def _item(graph: Execution, task: Task) -> dict[str, Any]:
    """The inputs of one item: the loop's, with the item in the place of the items."""
    iterator = task.iterator
    assert iterator is not None
    parameters = dict(graph.properties["inputs"])
    source = iterator["items"].get("inputParameter") or iterator["itemInput"]
    parameters[iterator["itemInput"]] = items(parameters.pop(source))[task.number or 0]
    return parameters


def _optional(task: Task) -> dict[str, Any]:
    """A sub-graph's inputs that are not passed: their defaults, or null."""
    passed = task.spec.get("inputs", {}).get("parameters", {})
    return {
        name: declaration.get("defaultValue")
        for name, declaration in _declared(task).items()
        if name not in passed and declaration.get("isOptional")
    }


def _parameter(metadata: Metadata, graph: Execution, task: Task, source: dict[str, Any]) -> Any:
    if "componentInputParameter" in source:
        name = source["componentInputParameter"]
        if name not in graph.properties["inputs"]:
            raise DriverError(f"parent DAG does not have input parameter {name}")
        return graph.properties["inputs"][name]
    if "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        return parameter(metadata, graph, output["producerTask"], output["outputParameterKey"])
    if "taskFinalStatus" in source:
        producer = find(metadata, graph, task.spec["dependentTasks"][0])
        return {
            "error": {},
            "pipelineJobResourceName": task.placeholders["{{$.pipeline_job_resource_name}}"],
            "pipelineTaskName": producer.task,
            "state": producer.state,
        }
    constant = source["runtimeValue"]["constant"]
    return task.placeholders.get(constant, constant) if isinstance(constant, str) else constant


def _selected(value: Any, source: dict[str, Any]) -> Any:
    """`parseJson(string_value)["key"]`, the one selector that KFP's compiler writes."""
    selector = source.get("parameterExpressionSelector", "")
    for key in selector.split('["')[1:]:
        value = (json.loads(value) if isinstance(value, str) else value)[key.removesuffix('"]')]
    return value


def _check(task: Task, parameters: dict[str, Any]) -> None:
    """Hold the values against what the component declares; a text may come from any type."""
    iterator = task.iterator or {}
    for name, declaration in _declared(task).items():
        if task.number is None and iterator.get("itemInput") == name:
            continue
        if task.number is not None and iterator.get("items", {}).get("inputParameter") == name:
            continue
        if name not in parameters:
            if not declaration.get("isOptional") and "defaultValue" not in declaration:
                raise DriverError(
                    "failed to resolve inputs: neither value nor default value provided for non-optional parameter "
                    f'"{name}"'
                )
            continue
        kind, value = declaration["parameterType"], parameters[name]
        if value is None:
            if task.is_graph:
                continue
            raise DriverError(f'failed to resolve inputs: got null for input parameter "{name}"')
        if kind == "STRING" and not isinstance(value, str):
            parameters[name] = compact(value)
        elif not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise DriverError(
                f'failed to resolve inputs: input parameter "{name}" type mismatch: expect {kind}, got {_kind(value)}'
            )


def _kind(value: Any) -> str:
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "list", dict: "struct"}
    return names[type(value)]


def _declared(task: Task) -> dict[str, Any]:
    return task.component.get("inputDefinitions", {}).get("parameters", {})  # type: ignore[no-any-return]


def _runtime(artifact: Artifact, typed: bool) -> dict[str, Any]:
    """An artifact in an executor input: its name is its id; where it comes from a task of the same graph, a type."""
    schema = {"type": {"instanceSchema": ""}} if typed else {}
    return {"name": str(artifact.id), **schema, "uri": artifact.uri, "metadata": artifact.properties}
