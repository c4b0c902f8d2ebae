"""A Kubernetes API server on a loopback port: the paths that `nashflow doctor` uses, in the client's own models."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import yaml
from kubernetes import client

_API = client.ApiClient()
_KINDS = {
    "secrets": "V1Secret",
    "configmaps": "V1ConfigMap",
    "persistentvolumeclaims": "V1PersistentVolumeClaim",
    "serviceaccounts": "V1ServiceAccount",
    "services": "V1Service",
    "resourcequotas": "V1ResourceQuota",
    "limitranges": "V1LimitRange",
}
_VERSION = dict.fromkeys(("build_date", "compiler", "git_commit", "git_tree_state", "go_version", "platform"), "") | {
    "git_version": "v1.34.1",
    "major": "1",
    "minor": "34",
}
TRAINER = ("trainjobs", "trainingruntimes", "clustertrainingruntimes")


class KubernetesServer:
    """What the cluster has: change it, and the next answer has changed."""

    def __init__(self, namespace: str = "team") -> None:
        self.namespace = namespace
        self.objects: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
        self.nodes: list[Any] = []
        self.pods: list[Any] = []
        """Of all namespaces."""
        self.controller: dict[str, str] | None = None
        """The configuration of Argo's workflow controller, in the namespace kubeflow."""
        self.served: dict[str, tuple[str, ...]] = {}
        self.runtimes: dict[str, list[str]] = {
            "trainingruntimes": [],
            "clustertrainingruntimes": ["jax-distributed", "torch-distributed"],
        }
        self.trainjob_fields: tuple[str, ...] = ("runtimePatches", "runtimeRef", "trainer")
        self.denied: dict[str, set[str]] = {}
        """Rights that users lack, such as `create runs.pipelines.kubeflow.org`; the user who asks is ``."""
        self.forbidden: set[str] = set()
        """Patterns of paths that are forbidden."""
        self.seen: list[str] = []
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def kubeconfig(self, path: Path, context: str = "here") -> Path:
        """A kubeconfig whose only context leads here."""
        named = {"cluster": context, "user": "me", "namespace": self.namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "contexts": [{"name": context, "context": named}],
            "clusters": [{"name": context, "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "a-token"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def add(self, kind: str, name: str, **fields: Any) -> None:
        """Put an object into the namespace."""
        metadata = client.V1ObjectMeta(name=name, namespace=self.namespace)
        self.objects[kind][name] = getattr(client, _KINDS[kind])(metadata=metadata, **fields)

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, Any]:
        if any(re.fullmatch(pattern, path) for pattern in self.forbidden):
            return _refusal(403, "Forbidden", f'{path} is forbidden: User "me" cannot do that')
        if path == "/version/":
            return 200, client.VersionInfo(**_VERSION)
        if path == "/api/v1/nodes":
            return 200, client.V1NodeList(items=self.nodes, metadata=client.V1ListMeta())
        if path == "/api/v1/pods":
            ended = re.findall(r"status\.phase!=(\w+)", unquote(query))
            running = [pod for pod in self.pods if pod.status.phase not in ended]
            return 200, client.V1PodList(items=running, metadata=client.V1ListMeta())
        if path == "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap" and self.controller:
            return 200, client.V1ConfigMap(data=self.controller)
        if found := re.fullmatch(rf"/api/v1/namespaces/{self.namespace}/(\w+)", path):
            listed = getattr(client, f"{_KINDS[found[1]]}List")
            return 200, listed(items=list(self.objects[found[1]].values()), metadata=client.V1ListMeta())
        if found := re.fullmatch(rf"/api/v1/namespaces/{self.namespace}/(\w+)/([\w.-]+)", path):
            there = self.objects[found[1]].get(found[2])
            return (200, there) if there else _refusal(404, "NotFound", f'{found[1]} "{found[2]}" not found')
        reviews = rf"/apis/authorization.k8s.io/v1/(selfsubject|namespaces/{self.namespace}/localsubject)accessreviews"
        if found := re.fullmatch(reviews, path):
            return self._review(json.loads(body), found[1] == "selfsubject")
        if found := re.fullmatch(r"/apis/trainer.kubeflow.org/v1alpha1/(?:namespaces/\w+/)?(\w+runtimes)", path):
            return 200, {"items": [{"metadata": {"name": name}} for name in self.runtimes[found[1]]]}
        if path == "/openapi/v3/apis/trainer.kubeflow.org/v1alpha1":
            fields: dict[str, Any] = {name: {} for name in self.trainjob_fields}
            return 200, {"components": {"schemas": {"TrainJob": {"properties": {"spec": {"properties": fields}}}}}}
        if (found := re.fullmatch(r"/apis/([\w.]+/v1\w+)", path)) and found[1] in self.served:
            resources = [
                client.V1APIResource(kind=name, name=name, namespaced=True, singular_name=name, verbs=["get"])
                for name in self.served[found[1]]
            ]
            return 200, client.V1APIResourceList(group_version=found[1], resources=resources)
        return _refusal(404, "NotFound", "the server could not find the requested resource")

    def _review(self, body: dict[str, Any], self_review: bool) -> tuple[int, Any]:
        model = "V1SelfSubjectAccessReview" if self_review else "V1LocalSubjectAccessReview"
        review = _API.deserialize(SimpleNamespace(data=json.dumps(body)), model)
        asked = review.spec.resource_attributes
        assert asked.namespace == self.namespace
        right = f"{asked.verb} {asked.resource}" + (f"/{asked.subresource}" if asked.subresource else "")
        right += f".{asked.group}" if asked.group else ""
        right += f"/{asked.name}" if asked.name else ""
        user = "" if self_review else review.spec.user
        assert self_review or "system:authenticated" in review.spec.groups
        review.status = client.V1SubjectAccessReviewStatus(allowed=right not in self.denied.get(user, ()))
        return 201, review


def node(name: str = "gpu", accelerators: int = 8, resource: str = "nvidia.com/gpu", **more: Any) -> Any:
    """A node with 96 CPUs, 1 TiB and accelerators; `taints` as key=value:effect, `labels`, `ready`, `cordoned`."""
    allocatable = {"cpu": more.get("cpu", "96"), "memory": more.get("memory", "1Ti"), "pods": "110"}
    if accelerators:
        allocatable[resource] = str(accelerators)
    parts = (re.fullmatch(r"([^=]+)=([^:]*):(\w+)", text) for text in more.get("taints", ()))
    taints = [client.V1Taint(key=part[1], value=part[2] or None, effect=part[3]) for part in parts if part]
    ready = client.V1NodeCondition(type="Ready", status="True" if more.get("ready", True) else "Unknown")
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name, labels=more.get("labels", {})),
        spec=client.V1NodeSpec(taints=taints or None, unschedulable=more.get("cordoned")),
        status=client.V1NodeStatus(allocatable=allocatable, conditions=[ready]),
    )


def pod(node: str, restart_policy: str = "Always", phase: str = "Running", **requests: str) -> Any:
    """A pod on a node with one container that asks for something."""
    asked = client.V1ResourceRequirements(requests=requests)
    container = client.V1Container(name="main", resources=asked)
    return client.V1Pod(
        spec=client.V1PodSpec(node_name=node, restart_policy=restart_policy, containers=[container]),
        status=client.V1PodStatus(phase=phase),
    )


def claim(phase: str = "Bound", modes: tuple[str, ...] = ("ReadWriteMany",)) -> dict[str, Any]:
    """The spec and status of a claim."""
    return {
        "spec": client.V1PersistentVolumeClaimSpec(access_modes=list(modes), volume_name="volume-1"),
        "status": client.V1PersistentVolumeClaimStatus(phase=phase, access_modes=list(modes)),
    }


def _refusal(code: int, reason: str, message: str) -> tuple[int, Any]:
    return code, client.V1Status(
        api_version="v1", kind="Status", code=code, reason=reason, message=message, status="Failure"
    )


class _Handler(BaseHTTPRequestHandler):
    cluster: KubernetesServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        self.cluster.seen.append(f"{self.command} {path}")
        code, answer = self.cluster.answer(self.command, path, query, body)
        text = json.dumps(_API.sanitize_for_serialization(answer)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
