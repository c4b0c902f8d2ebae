"""The outputs of tasks that ran before: through sub-graphs, conditions and loops, down to the pods that made them."""

import json
from typing import Any

from ..metadata import CONTAINER, Artifact, Execution, Metadata


class DriverError(Exception):
    """Why a driver ends."""


def find(metadata: Metadata, graph: Execution, task: str) -> Execution:
    """The execution of a task of a graph.

    Raises:
        DriverError: there is none, or there are two, as after a driver that was made again.
    """
    known: dict[str, Execution] = {}
    for execution in metadata.children(graph):
        name = _name(execution, graph)
        if name in known:
            raise DriverError(
                f"failed to get executions in DAG(executionID={graph.id}): two tasks have the same task name "
                f'"{name}", id1={known[name].id} id2={execution.id}'
            )
        known[name] = execution
    wanted = _named(task, graph.id, graph.number)
    if wanted not in known:
        raise DriverError(f"producer task, {wanted}, not in tasks")
    return known[wanted]


def artifacts(metadata: Metadata, graph: Execution, task: str, key: str) -> list[Artifact]:
    """What a task of the graph put out as an artifact: one, or a loop's, in their order."""
    return [
        metadata.artifacts(execution.id, "OUTPUT")[name]
        for execution, name in _makers(metadata, find(metadata, graph, task), key, "artifact")
    ]


def parameter(metadata: Metadata, graph: Execution, task: str, key: str) -> Any:
    """What a task of the graph put out as a parameter; a loop's as a list."""
    producer = find(metadata, graph, task)
    makers = _makers(metadata, producer, key, "parameter")
    values = [execution.properties.get("outputs", {}).get(name) for execution, name in makers]
    return values if "iteration_count" in producer.properties else values[0]


def _makers(metadata: Metadata, execution: Execution, key: str, kind: str) -> list[tuple[Execution, str]]:
    """The executions of pods behind an output, and its name there."""
    if execution.kind == CONTAINER:
        return [(execution, key)]
    if (count := execution.properties.get("iteration_count")) is not None:
        items = {child.number: child for child in metadata.children(execution)}
        return [maker for number in range(count) for maker in _makers(metadata, items[number], key, kind)]
    outputs = json.loads(execution.properties.get(f"{kind}_producers", "{}"))
    if key not in outputs:
        raise DriverError(
            f'{kind} output key "{key}" not found in parent task "{execution.task}" (dag ID {execution.id})'
        )
    # Of several, as dsl.OneOf makes them, the branch that was taken.
    for selector in _selectors(outputs[key]):
        task, inner = selector["producerSubtask"], selector[f"output{kind.title()}Key"]
        try:
            found = find(metadata, execution, task)
        except DriverError:
            continue
        if found.state != "CANCELED":
            return _makers(metadata, found, inner, kind)
    raise DriverError(f'No successful task found for output key "{key}" in parent task "{execution.task}"')


def _selectors(output: dict[str, Any]) -> list[dict[str, str]]:
    if "artifactSelectors" in output:
        return output["artifactSelectors"]  # type: ignore[no-any-return]
    if "valueFromOneof" in output:
        return output["valueFromOneof"]["parameterSelectors"]  # type: ignore[no-any-return]
    return [output["valueFromParameter"]]


def _name(execution: Execution, graph: Execution) -> str:
    return _named(execution.task, graph.id, graph.number if execution.number is None else execution.number)


def _named(task: str, graph: int, number: int | None) -> str:
    return f"{task}_{graph}" + ("" if number is None else f"_idx_{number}")
