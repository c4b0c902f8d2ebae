"""The TrainJob of a training, as Kubeflow Trainer 2.2 and newer takes it, made from the pod of the step."""

import json
from collections.abc import Sequence
from typing import Any

from ....core.digests import digest_json
from ....core.errors import UserError
from ....runtime.jobs import NAMESPACE, NODE, POD
from .api import CONTAINER

Json = dict[str, Any]

DIGEST = "nashflow/digest"
"""Annotation of a TrainJob: the digest of what it runs."""
RUN = "pipeline/runid"
"""Label of the pods and TrainJobs of a run: its id."""

_MANAGER = "nashflow/launcher"
_MAIN = "main"
_OWN = ("KFP_", "ARGO_", "PET_", POD, NAMESPACE, NODE)
_KEPT = ("nashflow/step", "nashflow/run", "nashflow/iteration")


def train_job(
    name: str, pod: Json, runtime: Json, nodes: int, processes: int | None, command: Sequence[str], env: dict[str, str]
) -> Json:
    """The TrainJob that runs a command on several nodes with what the step's pod has.

    Args:
        name: its name, the same for every attempt at this training.
        pod: the pod of the step.
        runtime: the reference to the training runtime.
        nodes: how many pods.
        processes: how many processes in each of them; None: one for each accelerator, or one.
        command: what each pod runs; torch's runtime tells it by PET_NNODES, PET_NPROC_PER_NODE, PET_NODE_RANK,
            PET_MASTER_ADDR and PET_MASTER_PORT where the others are.
        env: variables beside those of the step's pod.

    Raises:
        UserError: the pod does not say what the nodes ask for.
    """
    metadata, main, node = pod["metadata"], _main(pod), _node(pod)
    labels = metadata.get("labels", {})
    spec: Json = {
        "runtimeRef": runtime,
        "trainer": {
            "image": main["image"],
            "command": [each.replace("$", "$$") for each in command],  # Kubernetes expands $(NAME)
            "env": [*_variables(main), *({"name": key, "value": value} for key, value in env.items())],
            "numNodes": nodes,
            "numProcPerNode": processes or node["accelerators"] or 1,
            "resourcesPerNode": {key: node[key] for key in ("requests", "limits")},
        },
        "runtimePatches": runtime_patches(pod),
    }
    if deadline := pod["spec"].get("activeDeadlineSeconds"):
        spec["activeDeadlineSeconds"] = deadline
    owned = [{key: owner[key] for key in ("apiVersion", "kind", "name", "uid")} for owner in _owners(metadata)]
    return {
        "metadata": {
            "name": name,
            "labels": {key: labels[key] for key in (RUN, *_KEPT) if key in labels},
            "annotations": {DIGEST: digest_json(spec)},
            **({"ownerReferences": owned} if owned else {}),
        },
        "spec": spec,
    }


def runtime_patches(pod: Json) -> list[Json]:
    """What the runtime's pods get besides: the account, volumes, place and safety of the step's pod."""
    spec, main, node = pod["spec"], _main(pod), _node(pod)
    labels = pod["metadata"].get("labels", {})
    volumes, mounts = _volumes(spec, main)
    if size := node["shared_memory"]:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    container = {"name": CONTAINER, "volumeMounts": mounts, "securityContext": main.get("securityContext")}
    patch = {
        "serviceAccountName": spec.get("serviceAccountName"),
        "imagePullSecrets": spec.get("imagePullSecrets"),
        "securityContext": spec.get("securityContext"),
        "nodeSelector": node["node_selector"],
        "tolerations": node["tolerations"],
        "terminationGracePeriodSeconds": spec.get("terminationGracePeriodSeconds"),
        "volumes": volumes,
        "containers": [{key: value for key, value in container.items() if value}],
    }
    template = {
        "metadata": {
            "labels": {key: labels[key] for key in _KEPT if key in labels},
            # A mesh's sidecar would keep the pods from ending.
            "annotations": {"sidecar.istio.io/inject": "false"},
        },
        "spec": {key: value for key, value in patch.items() if value},
    }
    job = {"name": CONTAINER, "template": {"spec": {"template": template}}}
    return [{"manager": _MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}}}]


def _main(pod: Json) -> Json:
    return next(dict(each) for each in pod["spec"]["containers"] if each["name"] == _MAIN)


def _owners(metadata: Json) -> list[Json]:
    """The workflow: with it, Kubernetes deletes the TrainJob, too."""
    return list(metadata.get("ownerReferences", []))


def _node(pod: Json) -> Json:
    """What each of the job's pods asks for, as the compiled graph says."""
    for variable in _main(pod).get("env", []):
        if variable["name"] == NODE:
            return dict(json.loads(variable["value"]))
    raise UserError(
        "training.launcher: trainjob is not what this graph was compiled with: compile the recipe anew, and submit that"
    )


def _variables(main: Json) -> list[Json]:
    """The variables of the step's container but those of Kubeflow, Argo, torchrun and this pod alone."""
    return [dict(each) for each in main.get("env", []) if not each["name"].startswith(_OWN)]


def _volumes(spec: Json, main: Json) -> tuple[list[Json], list[Json]]:
    """The claims that the step's container mounts, and how."""
    claims = [dict(each) for each in spec.get("volumes", []) if "persistentVolumeClaim" in each]
    names = {each["name"] for each in claims}
    return claims, [dict(each) for each in main.get("volumeMounts", []) if each["name"] in names]
