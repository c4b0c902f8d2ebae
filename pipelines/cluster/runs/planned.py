"""The tasks that a run is going to have, by the graph that the server keeps of it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nashflow.components.core.errors import UserError
from nashflow.components.runtime.jobs import NODE

from ...compiled import Graph, Json, tasks_of, times
from ...steps import IMAGES
from ..api.connection import Connection
from .tasks import is_of_shards, name_in

_RUNTIMES = {parameter: runtime for runtime, parameter in IMAGES.items()}
_IMAGE_PARAMETER = re.compile(rf"\b({'|'.join(_RUNTIMES)})'\]")


class Planned(NamedTuple):
    """A task of the graph."""

    shards: int
    """How many times it runs, once for each shard."""
    image: str
    """Its image's name in the recipe's `cluster.images`; empty where it is another pipeline's."""
    job: bool
    """Whether its pod makes a TrainJob."""


def planned_tasks(connection: Connection, run: Any) -> dict[str, Planned]:
    """The tasks by name; none where the server does not have the run's version any more, or does not show it.

    Raises:
        ConnectionError: the server stays away.
    """
    reference = run.pipeline_version_reference
    if not reference or not reference.pipeline_version_id:
        return {}
    method = connection.client.pipelines.pipeline_service_get_pipeline_version
    try:
        version = connection.call(
            method, pipeline_id=reference.pipeline_id, pipeline_version_id=reference.pipeline_version_id
        )
    except UserError:
        return {}
    specification: Mapping[str, Any] = version.pipeline_spec or {}
    graph = Graph(specification.get("pipeline_spec", specification), {})
    return dict(_walk(graph, graph.ir["root"], "", 1)) if "root" in graph.ir else {}


def _walk(graph: Graph, part: Json, around: str, count: int) -> Iterator[tuple[str, Planned]]:
    """The tasks of the root, or of a graph nested in it, which runs `count` times; `around` is its graph of shards."""
    for name, task in tasks_of(part).items():
        component, each = graph.component(task), count * (times(task) or 1)
        if "dag" in component:
            yield from _walk(graph, component, name if is_of_shards(name) else around, each)
        else:
            container = graph.executors.get(component.get("executorLabel", ""), {})
            job = any(variable["name"] == NODE for variable in container.get("env", ()))
            yield name_in(around, name), Planned(each, _image(container), job)


def _image(container: Json) -> str:
    found = _IMAGE_PARAMETER.search(container.get("image", ""))
    return _RUNTIMES[found[1]] if found else ""
