"""The templates of an Argo workflow that do not depend on the graph: drivers, and the pods of container tasks."""

import copy
from typing import Any

V2 = {"pipelines.kubeflow.org/v2_component": "true"}
NO_PROXY = {**V2, "sidecar.istio.io/inject": "false"}
SERVERS = (
    *("--ml_pipeline_server_address", "ml-pipeline.kubeflow.svc.cluster.local", "--ml_pipeline_server_port", "8887"),
    *("--mlmd_server_address", "metadata-grpc-service.kubeflow.svc.cluster.local", "--mlmd_server_port", "8080"),
)
DRIVER_IMAGE = "registry.example.com/kfp/kfp-driver:1"
LAUNCHER_IMAGE = "registry.example.com/kfp/kfp-launcher:1"
SCRATCH = {
    "kfp-launcher": "/kfp-launcher",
    "gcs-scratch": "/gcs",
    "s3-scratch": "/s3",
    "minio-scratch": "/minio",
    "dot-local-scratch": "/.local",
    "dot-cache-scratch": "/.cache",
    "dot-config-scratch": "/.config",
}
"""Empty volumes of a step's pod, and where they are mounted."""
RETRY = ("retry-max-count", "retry-backoff-duration", "retry-backoff-factor", "retry-backoff-max-duration")
_POD = [
    {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "KFP_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
]
_SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
_USER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **_SECCOMP}
_SYSTEM = {**_USER, "runAsNonRoot": True}


def given(name: str) -> str:
    """Refer to an input of the template."""
    return f"{{{{inputs.parameters.{name}}}}}"


def output(task: str, name: str) -> str:
    """Refer to an output of a task of the same DAG."""
    return f"{{{{tasks.{task}.outputs.parameters.{name}}}}}"


def driver(kind: str, pipeline: str, run_id: str, run_name: str) -> dict[str, Any]:
    """`system-dag-driver` or `system-container-driver`, of one run."""
    container = kind == "container"
    arguments = [
        *("--type", "CONTAINER" if container else given("driver-type"), "--pipeline_name", pipeline),
        *("--run_id", run_id, "--run_name", "{{workflow.name}}", "--run_display_name", run_name),
        *("--pipeline_job_create_time_utc", "{{workflow.creationTimestamp}}"),
        *("--dag_execution_id", given("parent-dag-id"), "--component", given("component")),
        *("--task", given("task"), "--task_name", given("task-name")),
    ]
    if container:
        inputs = ["component", "task", "container", "task-name", "parent-dag-id"]
        defaults = {"iteration-index": "-1", "kubernetes-config": ""}
        outputs = {"pod-spec-patch": "", "cached-decision": "false", "condition": "true"}
        arguments += [
            *("--container", given("container"), "--iteration_index", given("iteration-index")),
            *("--cached_decision_path", _path("cached-decision"), "--pod_spec_patch_path", _path("pod-spec-patch")),
            *("--condition_path", _path("condition"), "--kubernetes_config", given("kubernetes-config")),
        ]
    else:
        inputs = ["component"]
        defaults = {"runtime-config": "", "task": "", "task-name": "", "parent-dag-id": "0", "iteration-index": "-1"}
        defaults["driver-type"] = "DAG"
        outputs = {"execution-id": None, "iteration-count": "0", "condition": "true"}
        arguments += [
            *("--runtime_config", given("runtime-config"), "--iteration_index", given("iteration-index")),
            *("--execution_id_path", _path("execution-id"), "--iteration_count_path", _path("iteration-count")),
            *("--condition_path", _path("condition")),
        ]
    arguments += [
        *("--http_proxy", "", "--https_proxy", "", "--no_proxy", "", *SERVERS),
        *("--cache_disabled=false", "--log_level", "1", "--publish_logs", "true"),
        *("--ml_pipeline_tls_enabled=false", "--metadata_tls_enabled=false", "--ca_cert_path", ""),
    ]
    return {
        "name": f"system-{kind}-driver",
        "inputs": {"parameters": [{"name": name} for name in inputs] + _defaults(defaults)},
        "outputs": {"parameters": [_produced(name, default) for name, default in outputs.items()]},
        "metadata": {"annotations": {"pipelines.kubeflow.org/runtime-role": "driver", **NO_PROXY}},
        "container": {
            "name": "",
            "image": DRIVER_IMAGE,
            "command": ["driver"],
            "args": arguments,
            **({"env": copy.deepcopy(_POD)} if container else {}),
            "resources": {
                "limits": {"cpu": "500m", "memory": "512Mi"},
                "requests": {"cpu": "100m", "memory": "64Mi"},
            },
            "securityContext": copy.deepcopy(_SYSTEM),
        },
        "securityContext": {"runAsNonRoot": True, **copy.deepcopy(_SECCOMP)},
    }


def executor(name: str, implementation: str, labels: list[str], retried: bool) -> dict[str, Any]:
    """The DAG around the one pod of a container task."""
    passed = ["pod-spec-patch", *labels, *(RETRY if retried else ())]
    only = {
        "name": "executor",
        "template": implementation,
        "arguments": {"parameters": [{"name": key, "value": given(key)} for key in passed]},
        "when": f"{given('cached-decision')} != true",
    }
    inputs = [{"name": "pod-spec-patch"}, *_defaults({"cached-decision": "false"})]
    inputs += [{"name": key} for key in labels] + (_defaults(dict.fromkeys(RETRY, "0")) if retried else [])
    return {
        "name": name,
        "inputs": {"parameters": inputs},
        "outputs": {},
        "metadata": {"annotations": dict(NO_PROXY)},
        "dag": {"tasks": [only]},
    }


def implementation(name: str, labels: list[str], retried: bool, run_id: str) -> dict[str, Any]:
    """The pod of a container task, which the driver's patch completes."""
    pairs = zip(labels[::2], labels[1::2], strict=True)
    template: dict[str, Any] = {
        "name": name,
        "inputs": {"parameters": [{"name": key} for key in ("pod-spec-patch", *labels, *(RETRY if retried else ()))]},
        "outputs": {},
        "metadata": {
            "annotations": {"pipelines.kubeflow.org/runtime-role": "launcher", **NO_PROXY},
            "labels": {"pipeline/runid": run_id, **V2, **{given(key): given(value) for key, value in pairs}},
        },
        "podSpecPatch": given("pod-spec-patch"),
        "volumes": [{"name": volume, "emptyDir": {}} for volume in SCRATCH],
        "initContainers": [
            {
                "name": "kfp-launcher",
                "image": LAUNCHER_IMAGE,
                "command": ["launcher-v2"],
                "args": ["--copy", "/kfp-launcher/launch"],
                "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m"}},
                "securityContext": copy.deepcopy(_SYSTEM),
                "volumeMounts": [{"name": "kfp-launcher", "mountPath": "/kfp-launcher"}],
            }
        ],
        "container": {
            "name": "",
            "image": "gcr.io/ml-pipeline/should-be-overridden-during-runtime",
            "command": ["should-be-overridden-during-runtime"],
            "env": copy.deepcopy(_POD),
            "envFrom": [{"configMapRef": {"name": "metadata-grpc-configmap", "optional": True}}],
            "resources": {},
            "securityContext": copy.deepcopy(_USER),
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in SCRATCH.items()],
        },
        "securityContext": copy.deepcopy(_SECCOMP),
    }
    if retried:
        template["container"]["env"].append({"name": "KFP_RETRY_INDEX", "value": "{{retries}}"})
        maximum, duration, factor, longest = (given(name) for name in RETRY)
        template["retryStrategy"] = {
            "limit": maximum,
            "backoff": {"duration": duration, "factor": factor, "maxDuration": longest},
        }
    return template


def _path(name: str) -> str:
    return f"{{{{outputs.parameters.{name}.path}}}}"


def _defaults(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "default": value} for name, value in values.items()]


def _produced(name: str, default: str | None) -> dict[str, Any]:
    origin = {"path": f"/tmp/outputs/{name}", **({} if default is None else {"default": default})}
    # Only this one carries its default twice.
    twice = {"default": default} if name == "cached-decision" else {}
    return {"name": name, **twice, "valueFrom": origin}
