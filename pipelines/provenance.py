"""Where the artifacts that a compiled graph's tasks read come from: through sub-graphs, conditions, loops and lists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from .compiled import Graph, Json, tasks_of

Origins = frozenset[tuple[str, str]]
"""Artifacts that one input may be: the task that made each, by its path from the root, and the name of the output."""

_FROM_OUTSIDE: Origins = frozenset({("", "")})
"""Imported, or given to the run: any two of these may be the same artifact."""


def read_twice(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Task and two of its inputs that may be one artifact.

    The metadata store keeps one event for an artifact and a task, so it refuses the second input, and the driver of
    such a task fails.
    """
    yield from _in_part(graph, _Part("", graph.ir["root"], {}, ()))


@dataclass(frozen=True)
class _Part:
    """A graph at one place: the root, or one that a task is an instance of."""

    path: str
    graph: Json
    given: Mapping[str, Origins]
    """The sources of its own inputs."""
    components: tuple[str, ...]
    """Names of the components around it, itself included."""


def _in_part(graph: Graph, part: _Part) -> Iterator[tuple[str, str, str]]:
    for name, task in tasks_of(part.graph).items():
        read = _inputs(graph, part, task, ())
        for one, other in combinations(sorted(read), 2):
            if read[one] & read[other]:
                yield name, one, other
        if inner := _inner(graph, part, name, read):
            yield from _in_part(graph, inner)


def _inner(graph: Graph, part: _Part, name: str, given: Mapping[str, Origins]) -> _Part | None:
    """The graph that a task is an instance of; None if it is a step, or the graph around it again."""
    task = tasks_of(part.graph)[name]
    component = task.get("componentRef", {}).get("name", "")
    if "dag" not in graph.component(task) or component in part.components:
        return None
    return _Part(f"{part.path}/{name}", graph.component(task), given, (*part.components, component))


def _inputs(graph: Graph, part: _Part, task: Json, asked: tuple[str, ...]) -> dict[str, Origins]:
    sources = task.get("inputs", {}).get("artifacts", {})
    return {name: _origins(graph, part, source, asked) for name, source in sources.items()}


def _origins(graph: Graph, part: _Part, source: Json, asked: tuple[str, ...]) -> Origins:
    """What one input may be; `asked` are the tasks whose outputs led here: a damaged graph may go in circles."""
    if "componentInputArtifact" in source:
        return part.given.get(source["componentInputArtifact"], _FROM_OUTSIDE)
    output = source.get("taskOutputArtifact", {})
    return _made(graph, part, output.get("producerTask", ""), output.get("outputArtifactKey", ""), asked)


def _made(graph: Graph, part: _Part, name: str, output: str, asked: tuple[str, ...]) -> Origins:
    """What an output of a task may be: a step's own, or those of the steps inside that its graph hands out."""
    path = f"{part.path}/{name}"
    task = tasks_of(part.graph).get(name)
    if task is None or path in asked:
        return frozenset()
    component = graph.component(task)
    if "dag" not in component:
        runs = graph.executors.get(component.get("executorLabel", ""))
        return frozenset({(path, output)}) if runs else _FROM_OUTSIDE
    inner = _inner(graph, part, name, _inputs(graph, part, task, (*asked, path)))
    if inner is None:
        return frozenset()
    handed_out = component["dag"].get("outputs", {}).get("artifacts", {}).get(output, {}).get("artifactSelectors", [])
    made = (
        _made(graph, inner, each.get("producerSubtask", ""), each.get("outputArtifactKey", ""), (*asked, path))
        for each in handed_out
    )
    return frozenset().union(*made)
