"""How large a compiled graph's workflow becomes in Argo: its drivers run, its steps are taken to have succeeded."""

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .argo.controller import Controller
from .argo.nodes import Node, stamp
from .argo.packing import LIMIT, Packed, pack
from .argo.progress import add_up
from .compiler.workflow import Job, compiled
from .driver.drive import STORE, drive, new_salt
from .flags import parsed
from .metadata import Artifact, Metadata
from .wire import compact

_STORE = compact(STORE)
_BEGINNING = datetime(2026, 11, 29, 23, 4, 33, tzinfo=UTC)


class Sizes(NamedTuple):
    """Bytes of a finished run's workflow."""

    tasks: int
    """Steps that ran; each shard's counts."""
    nodes: int
    """Nodes of the status."""
    packed: Packed

    @property
    def status_per_task(self) -> float:
        """Compressed bytes of status for each step."""
        return self.packed.compressed / self.tasks

    @property
    def fits(self) -> bool:
        """Whether Argo can store it, with its nodes compressed."""
        return self.packed.least <= LIMIT


def measure(package: Path, arguments: dict[str, Any] | None = None) -> Sizes:
    """The sizes of a pipeline package's workflow, run with these parameters.

    Each artifact that is no metrics says a URI and a digest of the real thing; a text output `go` is true.
    """
    spec, *platform = yaml.load_all(package.read_text(), yaml.CSafeLoader)
    name = spec["pipelineInfo"]["name"]
    job = Job(str(uuid.uuid4()), f"{name}-20261129-230432-1b3d4a12", arguments or {}, "nashflow-runner")
    workflow = compiled(spec, platform[0] if platform else None, job)
    workflow["metadata"] |= {
        "name": f"{name}-dfdnk",
        "namespace": "kubeflow",
        "uid": str(uuid.uuid4()),
        "creationTimestamp": stamp(_BEGINNING),
        "generation": 76,
        "resourceVersion": "17820",
    }
    tasks = succeed(workflow)
    return Sizes(tasks, len(workflow["status"]["nodes"]), pack(workflow))


def succeed(workflow: dict[str, Any]) -> int:
    """Give a workflow the status that it has after a success; the number of its steps."""
    pods = _Succeeding(workflow)
    controller = Controller(workflow, pods)
    known = -1
    while not controller.ended:
        assert len(controller.nodes) > known, "the workflow stands still"
        known = len(controller.nodes)
        controller.operate()
    assert controller.status["phase"] == "Succeeded", controller.status
    for number, node in enumerate(controller.nodes.values()):
        # Three seconds from one node to the next, ten for each: about what a cluster takes.
        node["startedAt"] = stamp(_BEGINNING + timedelta(seconds=3 * number))
        node["finishedAt"] = stamp(_BEGINNING + timedelta(seconds=3 * number + 10))
    add_up(controller.nodes)
    return pods.steps


class _Done(NamedTuple):
    """A pod that has succeeded."""

    outputs: dict[str, str]
    phase: str = "Succeeded"
    message: str = ""
    exit_code: int | None = 0


class _Succeeding:
    """Pods that end as soon as they start."""

    def __init__(self, workflow: dict[str, Any]) -> None:
        self.steps = 0
        self._run_id = workflow["metadata"]["labels"]["pipeline/runid"]
        self._root = f"minio://mlpipeline/v2/artifacts/{workflow['metadata']['generateName'][:-1]}/{self._run_id}"
        self._made: dict[str, _Done] = {}
        self._metadata = Metadata()

    def start(self, node: Node, template: dict[str, Any]) -> None:
        if "podSpecPatch" in template:
            self._step(json.loads(template["podSpecPatch"]))
            self._made[node["id"]] = _Done({})
        else:
            flags = parsed(template["container"]["args"])
            self._made[node["id"]] = _Done(drive(self._metadata, flags, self._root, new_salt).outputs)

    def look(self, node: Node) -> _Done | None:
        return self._made.get(node["id"])

    def stop(self, node: Node) -> None:
        """They have ended already."""

    def _step(self, patch: dict[str, Any]) -> None:
        self.steps += 1
        flags = parsed([part for part in patch["containers"][0]["command"][1:] if part != "--"])
        outputs = json.loads(flags["executor_input"])["outputs"]
        execution = self._metadata.get(int(flags["execution_id"]))
        for name, made in outputs.get("artifacts", {}).items():
            (artifact,) = made["artifacts"]
            kind = artifact["type"]["schemaTitle"]
            properties = {"display_name": name, "store_session_info": _STORE}
            if kind != "system.Metrics" and name != "executor-logs":
                properties["uri"] = f"s3://nashflow/runs/{self._run_id}/iterations/001/main/logprobs/00000"
                properties["digest"] = hashlib.sha256(artifact["uri"].encode()).hexdigest()
            self._metadata.record(Artifact(kind, artifact["uri"], properties), execution.id, name)
        texts = dict.fromkeys(outputs.get("parameters", ()), f"s3://nashflow/runs/{self._run_id}")
        execution.properties["outputs"] = texts | ({"go": "true"} if "go" in texts else {})
        execution.state = "COMPLETE"
        self._metadata.update(execution)
