"""A compiled pipeline, read back and held against KFP's own schema."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nashflow.components.core.errors import UserError, one_line

# libyaml's loader is many times faster, where it is there.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A compiled pipeline: its IR, and what kfp-kubernetes says of its executors."""

    ir: Json
    platform: Json

    @property
    def executors(self) -> Mapping[str, Json]:
        """Container by executor; empty for one that runs none, such as an importer."""
        made = self.ir["deploymentSpec"].get("executors", {})
        return {name: executor.get("container", {}) for name, executor in made.items()}

    def placed(self, executor: str) -> Json:
        """The kfp-kubernetes configuration of an executor."""
        found: Json = self.platform.get("deploymentSpec", {}).get("executors", {}).get(executor, {})
        return found

    @property
    def components(self) -> Mapping[str, Json]:
        """The components, by name."""
        found: Mapping[str, Json] = self.ir.get("components", {})
        return found

    def component(self, task: Json) -> Json:
        """The component of a task; empty if it is missing."""
        return self.components.get(task.get("componentRef", {}).get("name", ""), {})

    def graphs(self) -> Iterator[Json]:
        """The root and every graph nested in it."""
        yield from (part for part in (self.ir["root"], *self.components.values()) if "dag" in part)

    def tasks(self) -> Iterator[tuple[Json, str, Json]]:
        """Every task: the graph that it stands in, its name, itself."""
        for part in self.graphs():
            yield from ((part, name, task) for name, task in tasks_of(part).items())

    def users(self) -> Iterator[tuple[str, Json]]:
        """Every executor with the component that it runs for."""
        for part in self.components.values():
            if part.get("executorLabel") in self.executors:
                yield part["executorLabel"], part


def tasks_of(graph: Json) -> Mapping[str, Json]:
    """Task by name of the root or of a graph nested in it."""
    found: Mapping[str, Json] = graph["dag"].get("tasks", {})
    return found


def times(task: Json) -> int | None:
    """How often a task runs: once, or for every item of its loop; None where no list of them is written out."""
    if "parameterIterator" not in task:
        return 1
    try:
        items = json.loads(task["parameterIterator"].get("items", {}).get("raw", ""))
    except ValueError:
        return None
    return len(items) if isinstance(items, list) else None


def read_graph(package: Path) -> Graph:
    """The graph in a compiled YAML file, as KFP reads it: no nulls, no names but the schema's.

    Raises:
        UserError: the file cannot be read, or holds no compiled pipeline.
    """
    try:
        documents = [document for document in yaml.load_all(package.read_text(encoding="utf-8"), _Loader) if document]
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{package}: cannot be read: {one_line(error)}") from None
    if not documents or not isinstance(documents[0], dict) or not {"deploymentSpec", "root"} <= documents[0].keys():
        raise UserError(f"{package}: no compiled pipeline; make one by `nashflow compile`")
    try:
        return _graph(documents[0], documents[1] if len(documents) > 1 else {})
    except ValueError as error:
        raise UserError(f"{package}: no compiled pipeline: {one_line(error)}") from None


def _graph(specification: Json, platform: Any) -> Graph:
    """Raises ValueError: a document breaks KFP's schema."""
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig, PipelineSpec, PlatformSpec

    ir = _read(specification, PipelineSpec)
    if "dag" not in ir.get("root", {}) or "deploymentSpec" not in ir:
        raise ValueError("its root is no graph, or it has no deploymentSpec")
    ir["deploymentSpec"] = _read(ir["deploymentSpec"], PipelineDeploymentConfig)
    kubernetes = _read(platform, PlatformSpec).get("platforms", {}).get("kubernetes", {})
    executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
    executors.update({label: _read(placed, KubernetesExecutorConfig) for label, placed in executors.items()})
    return Graph(ir, kubernetes)


def _read(document: Any, kind: Any) -> dict[str, Any]:
    """A document as a message of KFP's, in JSON again, keys in order."""
    from google.protobuf import json_format

    try:
        message = json_format.Parse(json.dumps(document), kind())
        read: dict[str, Any] = json.loads(json_format.MessageToJson(message, indent=None, sort_keys=True))
    except TypeError as error:  # of a date, which YAML has
        raise ValueError(f"not JSON: {error}") from None
    except json_format.Error as error:
        raise ValueError(f"no {kind.DESCRIPTOR.name}: {error}") from None
    return read
