"""A cluster with Kubeflow Trainer, as the pod of a training step on it sees it."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubeflow.pods.cluster import Cluster
from tests.kubeflow.server.handler import StreamingHandler
from tests.kubeflow.trainer.api import TrainerApi
from tests.kubeflow.trainer.jobs import Trainer
from tests.pipelines.cluster.server import Handler, KfpServer, Refused

NAMESPACE, POD = "team", "mine-abcde-training-1"
NODE = {
    "requests": {"cpu": "64", "memory": "640Gi", "nvidia.com/gpu": "8"},
    "limits": {"cpu": "64", "memory": "640Gi", "nvidia.com/gpu": "8"},
    "accelerators": 8,
    "shared_memory": "64Gi",
    "node_selector": {"pool": "h100"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}
MAIN = {
    "name": "main",
    "image": "registry.example.com/team/nashflow-training:0.1.0",
    "env": [
        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"name": "nashflow-s3", "key": "secret"}}},
        {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"},
        {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ARGO_NODE_ID", "value": "mine-abcde-1"},
        {"name": "NASHFLOW_NODE", "value": json.dumps(NODE)},
        {"name": "NASHFLOW_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    "resources": {"requests": {"cpu": "1"}},
    "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False},
    "volumeMounts": [
        {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
        {"name": "models", "mountPath": "/models"},
    ],
}
STEP_POD: dict[str, Any] = {
    "metadata": {
        "name": POD,
        "namespace": NAMESPACE,
        "labels": {
            "pipeline/runid": "run-1",
            "nashflow/step": "training",
            "pipelines.kubeflow.org/v2_component": "true",
        },
        "ownerReferences": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": "mine-abcde",
                "uid": "6e820184",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    },
    "spec": {
        "serviceAccountName": "nashflow-runner",
        "imagePullSecrets": [{"name": "registry"}],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "activeDeadlineSeconds": 86400,
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "wait", "image": "argoexec"}, MAIN],
        "volumes": [
            {"name": "kfp-launcher", "emptyDir": {}},
            {"name": "models", "persistentVolumeClaim": {"claimName": "nashflow-models"}},
        ],
    },
}
"""The pod of a step as Kubeflow makes it, in what concerns a TrainJob."""


class TrainerServer(KfpServer):
    """The Kubernetes API of that cluster."""

    def __init__(self) -> None:
        self.trainer = Trainer(Cluster(secrets={"nashflow-s3": {"secret": "s3cret"}}), NAMESPACE)
        self.api = TrainerApi(self.trainer)
        self.pod = copy.deepcopy(STEP_POD)
        super().__init__()

    def handler(self) -> type[Handler]:
        return StreamingHandler

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        if path == f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}":
            return self.pod
        answer = self.api.answer(method, path, query, body)
        if answer is None:
            raise Refused(404, "the server could not find the requested resource")
        return answer


@pytest.fixture
def server() -> Iterator[TrainerServer]:
    server = TrainerServer()
    yield server
    server.trainer.close()
    server.stop()


@pytest.fixture
def environment(server: TrainerServer, tmp_path: Path) -> dict[str, str]:
    """Of the step's container."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server.url}}],
        "users": [{"name": "me", "user": {"token": "a-token"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    own = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "NASHFLOW_POD": POD, "NASHFLOW_NAMESPACE": NAMESPACE}
    return {**os.environ, **own, "NO_PROXY": "127.0.0.1"}


@pytest.fixture
def inside(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """This process, as if it ran in the step's container."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return lambda: None
