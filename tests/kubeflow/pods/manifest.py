"""The manifest of a pod that Argo makes from a template: its own containers around the one that the template names."""

import copy
import json
import uuid
from typing import Any

from ..argo.controller import pod_name
from ..argo.nodes import Node, now

EMISSARY = ["/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--log-format", "text", "--gloglevel", "0"]
_ARGO = ["argoexec", "", "--loglevel", "info", "--log-format", "text", "--gloglevel", "0"]
_ARGO_IMAGE = "registry.example.com/kfp/argoexec:1"
_TOKEN = "kube-api-access-4wxyz"


def manifest(workflow: dict[str, Any], node: Node, template: dict[str, Any]) -> dict[str, Any]:
    """A pod as it is created, without a status."""
    metadata, spec = workflow["metadata"], workflow["spec"]
    main = _merged(template)
    patch = json.loads(template.get("podSpecPatch") or "{}")
    init = [_argo("init", node)] + [_plain(container) for container in template.get("initContainers", ())]
    main |= {"name": "main", "command": [*EMISSARY, "--", *main["command"]], "imagePullPolicy": "IfNotPresent"}
    main["env"] = [*main.get("env", ()), *_argo_variables("main", node)]
    main["volumeMounts"] = [*main.get("volumeMounts", ()), *_MOUNTS]
    labels = {
        **spec["podMetadata"]["labels"],
        **template["metadata"].get("labels", {}),
        "workflows.argoproj.io/completed": "false",
        "workflows.argoproj.io/workflow": metadata["name"],
    }
    if ".onExit" in node["name"]:
        labels["workflows.argoproj.io/on-exit"] = "true"
    annotations = {
        "kubectl.kubernetes.io/default-container": "main",
        **template["metadata"]["annotations"],
        "workflows.argoproj.io/node-id": node["id"],
        "workflows.argoproj.io/node-name": node["name"],
    }
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": metadata["name"]}
    owner |= {"uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}
    volumes = [*template.get("volumes", ()), *patch.get("volumes", ()), {"name": "var-run-argo", "emptyDir": {}}]
    volumes += [{"name": "tmp-dir-argo", "emptyDir": {}}, {"name": _TOKEN, "projected": {"defaultMode": 420}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(metadata["name"], node),
            "namespace": metadata["namespace"],
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner],
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {
            "serviceAccountName": spec["serviceAccountName"],
            "serviceAccount": spec["serviceAccountName"],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {**spec["securityContext"], **template.get("securityContext", {})},
            "initContainers": init,
            "containers": [_argo("wait", node), main],
            "volumes": volumes,
            **{key: value for key, value in patch.items() if key not in ("containers", "volumes")},
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    }


_MOUNTS = [
    {"name": "var-run-argo", "mountPath": "/var/run/argo"},
    {"name": _TOKEN, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
]


def _merged(template: dict[str, Any]) -> dict[str, Any]:
    """The template's container with the patch: lists of named things by name, what else is patched in its place."""
    container = copy.deepcopy(template["container"])
    patch = json.loads(template.get("podSpecPatch") or "{}")
    for key, value in (patch["containers"][0] if patch else {}).items():
        if key in ("env", "volumeMounts"):
            container[key] = [*value, *container.get(key, ())]
        elif key == "securityContext":
            container[key] = {**container.get(key, {}), **value}
        else:
            container[key] = value
    return container


def _argo(kind: str, node: Node) -> dict[str, Any]:
    return {
        "name": kind,
        "image": _ARGO_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [word or kind for word in _ARGO],
        "env": _argo_variables(kind, node),
        "resources": {},
        "volumeMounts": copy.deepcopy(_MOUNTS),
    }


def _argo_variables(container: str, node: Node) -> list[dict[str, str]]:
    values = {"ARGO_CONTAINER_NAME": container, "ARGO_NODE_ID": node["id"], "ARGO_INCLUDE_SCRIPT_OUTPUT": "false"}
    return [{"name": name, "value": value} for name, value in values.items()]


def _plain(container: dict[str, Any]) -> dict[str, Any]:
    return {**copy.deepcopy(container), "imagePullPolicy": "IfNotPresent"}
