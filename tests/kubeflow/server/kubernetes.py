"""The part of the Kubernetes API that concerns runs: pods, their logs and events, workflows."""

import re
import time
from collections.abc import Callable
from typing import Any

from ...pipelines.cluster.server import Refused
from ..pods.kubelet import Kubelet
from ..pods.pod import Pod

_NAMESPACE = r"/api/v1/namespaces/([^/]+)"
_WORKFLOWS = r"/apis/argoproj\.io/v1alpha1/namespaces/([^/]+)/workflows"


class Kubernetes:
    """Answers by path."""

    def __init__(self, kubelet: Kubelet, workflows: Callable[[], list[dict[str, Any]]]) -> None:
        self._kubelet, self._workflows = kubelet, workflows

    def answer(self, method: str, path: str, query: dict[str, str]) -> Any:
        """The answer to a request; None: it is for another part of the API.

        Raises:
            Refused: there is no such thing.
        """
        if found := re.fullmatch(f"{_NAMESPACE}/pods", path):
            return listed("Pod", [pod.manifest for pod in self._pods(found[1])], query)
        if found := re.fullmatch(f"{_NAMESPACE}/events", path):
            return listed("Event", [event for pod in self._pods(found[1]) for event in list(pod.events)], query)
        if found := re.fullmatch(f"{_NAMESPACE}/pods/([^/]+)/log", path):
            return self._log(self._pod(found[1], found[2]), query)
        if found := re.fullmatch(f"{_NAMESPACE}/pods/([^/]+)", path):
            pod = self._pod(found[1], found[2])
            if method == "DELETE":
                self._kubelet.delete(pod.name)
            return pod.manifest
        if found := re.fullmatch(_WORKFLOWS, path):
            mine = [item for item in self._workflows() if item["metadata"]["namespace"] == found[1]]
            return {**listed("Workflow", mine, query), "apiVersion": "argoproj.io/v1alpha1"}
        return None

    def _pods(self, namespace: str) -> list[Pod]:
        with self._kubelet.runtime.changed:
            pods = list(self._kubelet.runtime.pods.values())
        return [pod for pod in pods if pod.manifest["metadata"]["namespace"] == namespace]

    def _pod(self, namespace: str, name: str) -> Pod:
        for pod in self._pods(namespace):
            if pod.name == name:
                return pod
        raise _refused(404, "NotFound", f'pods "{name}" not found')

    def _log(self, pod: Pod, query: dict[str, str]) -> Any:
        container = query.get("container", "main")
        if container not in (part["name"] for part in pod.manifest["spec"]["containers"]):
            raise _refused(400, "BadRequest", f"container {container} is not valid for pod {pod.name}")
        if "nodeName" not in pod.manifest["spec"]:
            raise _refused(400, "BadRequest", f"pod {pod.name} does not have a host assigned")
        statuses = pod.manifest["status"].get("containerStatuses") or [{"state": {"waiting": {}}}]
        if (waiting := statuses[0]["state"].get("waiting")) is not None:
            why = waiting.get("reason", "ContainerCreating")
            said = f'container "{container}" in pod "{pod.name}" is waiting to start: {why}'
            raise _refused(400, "BadRequest", said)
        if container != "main":
            return ""
        since = time.time() - int(query["sinceSeconds"]) if "sinceSeconds" in query else None
        flags = {key: query.get(key, "").lower() == "true" for key in ("follow", "timestamps")}
        return pod.log.read(flags["follow"], flags["timestamps"], since)


def listed(kind: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A list, by a label selector and a field selector of equalities."""
    for part in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = part.partition("=")
        items = [item for item in items if item["metadata"].get("labels", {}).get(key) == value]
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = part.partition("=")
        unequal = key.endswith("!")
        items = [item for item in items if (_field(item, key.rstrip("!")) == value) != unequal]
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}


def _field(item: dict[str, Any], path: str) -> Any:
    for part in path.split("."):
        item = item.get(part, {})
    return item


def _refused(status: int, reason: str, message: str) -> Refused:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return Refused(status, message, {**body, "reason": reason, "code": status})
