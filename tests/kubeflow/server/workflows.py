"""Workflows in a cluster: each with a controller of its own, stored as Argo stores it, reported to KFP's API server."""

import copy
import random
import string
import threading
import uuid
from collections.abc import Callable
from typing import Any

from ..argo.controller import Controller
from ..argo.nodes import FULFILLED, now
from ..argo.packing import LIMIT, encoded, node_bytes
from ..argo.progress import add_up
from ..argo.template import TemplateError, check
from ..pods.kubelet import Kubelet
from ..wire import compact

_LETTERS = "".join(sorted(set(string.ascii_lowercase + string.digits) - set("aeiou013")))
_SECONDS = 0.5
PACE = 60.0
"""A minute between two attempts is a second here."""


class WorkflowRefused(Exception):
    """What Argo's validation says of a new workflow."""


class Workflow:
    """One workflow, from its creation on; `report` is called whenever it has changed, with itself."""

    def __init__(
        self,
        manifest: dict[str, Any],
        kubelet: Kubelet,
        pipeline_root: str,
        namespace: str,
        report: Callable[["Workflow"], None],
    ) -> None:
        self.manifest = manifest
        self._name(namespace)
        _validate(manifest)
        self.compressed = False
        self.limit = LIMIT
        self._kubelet, self._report = kubelet, report
        self._pods = kubelet.of(manifest, pipeline_root)
        self._controller = Controller(manifest, self._pods)
        self._controller.pace = PACE
        self._wanted: list[Callable[[], None]] = []
        self._closed = False
        self.thread = threading.Thread(target=self._live, name=self.name, daemon=True)

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]  # type: ignore[no-any-return]

    @property
    def phase(self) -> str:
        return self.manifest["status"]["phase"]  # type: ignore[no-any-return]

    @property
    def terminating(self) -> bool:
        """Whether KFP has terminated it, and it has not ended yet."""
        return self.manifest["spec"].get("activeDeadlineSeconds") == 0 and self.phase not in FULFILLED

    def stored(self) -> dict[str, Any]:
        """The object as the Kubernetes API has it."""
        status = self.manifest["status"]
        nodes = status["nodes"]
        packed = {"compressedNodes": encoded(nodes)} if self.compressed else {"nodes": nodes}
        rest = {key: value for key, value in status.items() if key != "nodes"}
        return copy.deepcopy({**self.manifest, "status": {**rest, **packed}})

    def terminate(self) -> None:
        """What KFP does to terminate a run: the workflow's deadline has passed."""
        self._do(lambda: self.manifest["spec"].__setitem__("activeDeadlineSeconds", 0))

    def retry(self) -> None:
        """What KFP does to retry a run: nodes that did not succeed are forgotten, and their pods deleted."""
        self._do(self._forget_failures)
        self.thread = threading.Thread(target=self._live, name=self.name, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Let it be."""
        self._closed = True
        self._kubelet.runtime.notify()
        if self.thread.is_alive():
            self.thread.join(10)

    def _name(self, namespace: str) -> None:
        metadata = self.manifest["metadata"]
        metadata |= {
            "name": metadata["generateName"] + "".join(random.choices(_LETTERS, k=5)),
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
            "generation": 1,
            "resourceVersion": "1",
        }
        metadata["annotations"]["workflows.argoproj.io/pod-name-format"] = "v2"

    def _live(self) -> None:
        changed = self._kubelet.runtime.changed
        while not self._closed:
            with changed:
                while self._wanted:
                    self._wanted.pop(0)()
                self._controller.operate()
                add_up(self._controller.nodes)
                self._store()
                ended = self._controller.ended
            self._report(self)
            if ended:
                return
            with changed:
                if not self._wanted:
                    changed.wait(min(self._controller.wait or _SECONDS, _SECONDS))

    def _store(self) -> None:
        """Keep it as Argo can: whole, or compressed; what is too large for both ends it."""
        metadata, status = self.manifest["metadata"], self.manifest["status"]
        metadata["labels"]["workflows.argoproj.io/phase"] = status["phase"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        done = status["phase"] in FULFILLED
        metadata["labels"]["workflows.argoproj.io/completed"] = str(done).lower()
        status["progress"] = status["nodes"][self.name].get("progress", "0/0")
        self.compressed = len(compact(self.manifest)) > self.limit
        if self.compressed and not done:
            nodes = len(node_bytes(status["nodes"]))
            size = len(compact(self.manifest)) - nodes + len(encoded(status["nodes"]))
            if size > self.limit:
                self._controller.fail("offload node status is not supported")

    def _do(self, change: Callable[[], None]) -> None:
        with self._kubelet.runtime.changed:
            self._wanted.append(change)
            self._kubelet.runtime.changed.notify_all()

    def _forget_failures(self) -> None:
        status, nodes = self.manifest["status"], self._controller.nodes
        for node in list(nodes.values()):
            if node["phase"] in ("Succeeded", "Skipped"):
                continue
            if node["type"] == "Pod" and (pod := self._pods.look(node)):
                self._kubelet.delete(pod.name)
            if node["type"] == "DAG":
                node |= {"phase": "Running", "finishedAt": None}
                node.pop("message", None)
            else:
                del nodes[node["id"]]
        for node in nodes.values():
            for key in ("children", "outboundNodes"):
                if key in node:
                    node[key] = [child for child in node[key] if child in nodes]
        status |= {"phase": "Running"}
        status.pop("message", None)
        status.pop("finishedAt", None)
        if self.manifest["spec"].get("activeDeadlineSeconds") == 0:
            del self.manifest["spec"]["activeDeadlineSeconds"]


def _validate(manifest: dict[str, Any]) -> None:
    known = {
        f"workflow.{key}" for key in ("name", "namespace", "uid", "serviceAccountName", "status", "mainEntrypoint")
    }
    known |= {f"workflow.parameters.{item['name']}" for item in manifest["spec"]["arguments"]["parameters"]}
    known |= {f"workflow.labels.{key}" for key in manifest["metadata"]["labels"]}
    names = {template["name"]: template for template in manifest["spec"]["templates"]}
    for template in names.values():
        inputs = {f"inputs.parameters.{item['name']}" for item in template["inputs"].get("parameters", ())}
        tasks = template.get("dag", {}).get("tasks", ())
        outputs = {
            f"tasks.{task['name']}.outputs.parameters.{item['name']}"
            for task in tasks
            for item in names[task["template"]]["outputs"].get("parameters", ())
        }
        more = {"item"} if any("withSequence" in task for task in tasks) else set()
        try:
            check(template, known | inputs | outputs | more)
        except TemplateError as error:
            raise WorkflowRefused(f"templates.{template['name']}: {error}") from error
    # What arguments hold is looked through as well, once they stand in a template.
    for item in manifest["spec"]["arguments"]["parameters"]:
        try:
            check({"value": item["value"]}, known)
        except TemplateError as error:
            raise WorkflowRefused(f"spec.arguments.{item['name']}: {error}") from error
