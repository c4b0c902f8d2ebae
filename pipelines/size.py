"""How large a graph's Argo workflow becomes, estimated from the graph.

A workflow is one object of Kubernetes. Argo compresses the status of its nodes when the object is above 1 MiB, and
fails the workflow, in the middle of the run, when that is not enough.

    specification = 16,330 + 1,210 a task + 590 a sub-graph + 2,750 a loop
                    + 1.365 × tasks' text + 1.106 × components' text
    status        = 11,650 + 500 a step + 0.634 × its text + 444 an artifact it reads or writes + 1,640 a driver

Bytes; the status counts every shard and every call of a graph, the specification each once. The constants are fitted to
a model of Kubeflow Pipelines 2.17 and Argo 4.0 that gives recorded workflows to 3 %, over graphs of 9 to 514 steps: off
by 2.5 % at most, and by 5 kB below 200 kB.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from .compiled import Graph, Json, tasks_of, times

LIMIT = 1 << 20
"""Bytes of a workflow that Argo stores."""
BUDGET = int(0.8 * LIMIT)
"""The share that a graph may use; names and addresses, and how well they compress, vary from run to run."""

_SPECIFICATION = 16_330
_TASK, _GROUP, _LOOP, _TASK_TEXT, _COMPONENT_TEXT = 1_210, 590, 2_750, 1.365, 1.106
_STATUS = 11_650
_STEP, _STEP_TEXT, _ARTIFACT, _DRIVER = 500, 0.634, 444, 1_640
_VALUE = 60
"""Bytes of a parameter whose value is known at run time."""
_READ = 2
"""An artifact that is read counts so often: its metadata come with it."""

FEWER_ITERATIONS = (
    "lower run.iterations, and when they are done submit the same run root again with a larger one and "
    "--first-iteration"
)
"""Advice to make a graph smaller."""
_FEWER_SHARDS = "lower prompts.shards: fewer, larger ones"


class Size(NamedTuple):
    """Bytes of a workflow at the end of its run."""

    tasks: float
    """Steps that it runs, every shard's; infinitely many in a damaged graph that contains itself."""
    specification: float
    status: float
    """Compressed."""

    @property
    def total(self) -> float:
        """All that Argo has to store."""
        return self.specification + self.status


def estimate(graph: Graph) -> Size:
    """The size of a graph's workflow."""
    steps, drivers = 0.0, 1.0
    status = float(_STATUS)
    for part, task, count in _instances(graph, graph.ir["root"], 1.0, ()):
        component = graph.component(task)
        if "dag" in component:
            drivers += count
        else:
            steps += count
            status += count * (_STEP + _STEP_TEXT * _text(graph, task) + _ARTIFACT * _artifacts(part, task, component))
    return Size(steps, _specification(graph), status + _DRIVER * drivers)


def way_out(graph: Graph) -> str:
    """Advice to make a graph's workflow smaller."""
    sharded = any((times(task) or 0) > 1 for _, _, task in graph.tasks())
    return f"{_FEWER_SHARDS}; or {FEWER_ITERATIONS}" if sharded else FEWER_ITERATIONS


def read_by(part: Json, source: Json) -> int:
    """Artifacts in one input of a task: as many as the loop runs that they come from."""
    return times(tasks_of(part).get(source.get("taskOutputArtifact", {}).get("producerTask", ""), {})) or 1


def _instances(graph: Graph, part: Json, count: float, around: tuple[str, ...]) -> Iterator[tuple[Json, Json, float]]:
    """Every task with the graph that it stands in, and how often it runs: a loop once more, for its own driver."""
    for task in tasks_of(part).values():
        name = task.get("componentRef", {}).get("name", "")
        repeated = count * (times(task) or 1)
        is_loop = "parameterIterator" in task
        yield part, task, repeated + (count if is_loop else 0.0)
        inner = graph.component(task)
        if "dag" in inner:
            endless = name in around
            yield from () if endless else _instances(graph, inner, repeated, (*around, name))


def _specification(graph: Graph) -> float:
    tasks = [task for _, _, task in graph.tasks()]
    loops = sum("parameterIterator" in task for task in tasks)
    groups = sum("dag" in graph.component(task) for task in tasks) - loops
    parts = [*graph.components.values(), graph.ir["root"], *graph.executors.values()]
    placed = [graph.placed(label) for label in graph.executors]
    return (
        _SPECIFICATION
        + _TASK * (len(tasks) - groups - loops)
        + _GROUP * groups
        + _LOOP * loops
        + _TASK_TEXT * sum(map(_length, tasks))
        + _COMPONENT_TEXT * sum(map(_length, [*parts, *placed]))
    )


def _text(graph: Graph, task: Json) -> float:
    """Bytes of all that a step's driver is told."""
    component = graph.component(task)
    label = component.get("executorLabel", "")
    constants = (source.get("runtimeValue", {}).get("constant") for source in _inputs(task, "parameters"))
    values = sum(_VALUE if constant is None else _length(constant) for constant in constants)
    told = (component, graph.executors.get(label, {}), graph.placed(label), task)
    return values + sum(map(_length, told))


def _artifacts(part: Json, task: Json, component: Json) -> float:
    read = sum(read_by(part, source) for source in _inputs(task, "artifacts"))
    return _READ * read + len(component.get("outputDefinitions", {}).get("artifacts", {}))


def _inputs(task: Json, kind: str) -> list[Json]:
    return list(task.get("inputs", {}).get(kind, {}).values())


def _length(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))
