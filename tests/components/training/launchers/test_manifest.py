"""The TrainJob that is sent: what the models of kubeflow-trainer-api take, with what the step's pod has."""

import copy
import json
from typing import Any

import pytest
from kubeflow_trainer_api.models.trainer_v1alpha1_runtime_patch import TrainerV1alpha1RuntimePatch
from kubeflow_trainer_api.models.trainer_v1alpha1_train_job import TrainerV1alpha1TrainJob

from nashflow.components.core.errors import UserError
from nashflow.components.training.launchers.trainjob.manifest import runtime_patches, train_job

from .conftest import NODE, STEP_POD

RUNTIME = {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": "torch-distributed"}


def made(pod: dict[str, Any], nodes: int = 2) -> dict[str, Any]:
    return train_job(
        "mine-001-main-1", pod, RUNTIME, nodes, None, ["python3", "-m", "x", "$(A) $"], {"NASHFLOW_X": "1"}
    )


def test_the_job_is_exactly_what_kubernetes_is_to_read() -> None:
    job = made(STEP_POD)
    digest = job["metadata"]["annotations"].pop("nashflow/digest")
    assert len(digest) == 64
    assert job == {
        "metadata": {
            "name": "mine-001-main-1",
            "labels": {"pipeline/runid": "run-1", "nashflow/step": "training"},
            "annotations": {},
            "ownerReferences": [
                {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "mine-abcde", "uid": "6e820184"}
            ],
        },
        "spec": {
            "activeDeadlineSeconds": 86400,
            "runtimeRef": RUNTIME,
            "trainer": {
                "image": "registry.example.com/team/nashflow-training:0.1.0",
                "command": ["python3", "-m", "x", "$$(A) $$"],
                "env": [
                    {
                        "name": "AWS_SECRET_ACCESS_KEY",
                        "valueFrom": {"secretKeyRef": {"name": "nashflow-s3", "key": "secret"}},
                    },
                    {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"},
                    {"name": "NASHFLOW_X", "value": "1"},
                ],
                "numNodes": 2,
                "numProcPerNode": 8,
                "resourcesPerNode": {"requests": NODE["requests"], "limits": NODE["limits"]},
            },
            "runtimePatches": [
                {
                    "manager": "nashflow/launcher",
                    "trainingRuntimeSpec": {
                        "template": {"spec": {"replicatedJobs": [{"name": "node", "template": POD_OF_A_NODE}]}}
                    },
                }
            ],
        },
    }


POD_OF_A_NODE = {
    "spec": {
        "template": {
            "metadata": {
                "labels": {"nashflow/step": "training"},
                "annotations": {"sidecar.istio.io/inject": "false"},
            },
            "spec": {
                "serviceAccountName": "nashflow-runner",
                "imagePullSecrets": [{"name": "registry"}],
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "nodeSelector": {"pool": "h100"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "terminationGracePeriodSeconds": 30,
                "volumes": [
                    {"name": "models", "persistentVolumeClaim": {"claimName": "nashflow-models"}},
                    {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}},
                ],
                "containers": [
                    {
                        "name": "node",
                        "volumeMounts": [
                            {"name": "models", "mountPath": "/models"},
                            {"name": "shm", "mountPath": "/dev/shm"},
                        ],
                        "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False},
                    }
                ],
            },
        }
    }
}


def bare_pod() -> dict[str, Any]:
    """A pod without volumes, account, labels, owner or deadline."""
    node = {**NODE, "accelerators": 0, "shared_memory": "", "node_selector": {}, "tolerations": []}
    main = {"name": "main", "image": "i", "env": [{"name": "NASHFLOW_NODE", "value": json.dumps(node)}]}
    return {"metadata": {"name": "p"}, "spec": {"containers": [main]}}


@pytest.mark.parametrize("pod", [STEP_POD, bare_pod()], ids=["full", "bare"])
def test_trainers_own_models_know_every_field(pod: dict[str, Any]) -> None:
    """Models drop what they do not know: what they write again is what was sent."""
    job = made(pod)
    assert job["spec"]["trainer"]["numProcPerNode"] == (8 if pod is STEP_POD else 1)
    read = TrainerV1alpha1TrainJob.from_dict(copy.deepcopy(job))
    assert read
    assert json.loads(read.to_json()) == job
    for patch in runtime_patches(pod):
        assert json.loads(TrainerV1alpha1RuntimePatch.from_dict(copy.deepcopy(patch)).to_json()) == patch


def test_the_digest_is_of_what_is_run() -> None:
    same, other = copy.deepcopy(STEP_POD), copy.deepcopy(STEP_POD)
    same["metadata"]["name"] = "mine-abcde-training-2"
    other["spec"]["containers"][1]["image"] = "registry.example.com/team/nashflow-training:0.2.0"
    digests = [made(pod)["metadata"]["annotations"]["nashflow/digest"] for pod in (STEP_POD, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert made(STEP_POD, nodes=4)["metadata"]["annotations"]["nashflow/digest"] != digests[0]


def test_a_pod_of_another_graph_is_refused() -> None:
    pod = copy.deepcopy(STEP_POD)
    pod["spec"]["containers"][1]["env"].clear()
    with pytest.raises(UserError, match="compile the recipe anew"):
        made(pod)
