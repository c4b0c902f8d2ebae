"""Pods that cannot start or are ended from outside: what the Kubernetes API says of them."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .cluster import Kubeflow
from .pods.cluster import Cluster, Trouble
from .toy import pipeline, task

_NODE = "(0).root(0).only(0).executor(0)"
_HUGE = {"resources": {"resourceCpuRequest": "64", "resourceCpuLimit": "64"}}
_GPU = {"resources": {"accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}}}
_SECRET = {"secretAsEnv": [{"secretName": "missing", "keyToEnv": [{"secretKey": "key", "envVar": "KEY"}]}]}
_MAP = {"configMapAsEnv": [{"configMapName": "there", "keyToEnv": [{"configMapKey": "missing", "envVar": "KEY"}]}]}
_CLAIM = {"pvcMount": [{"constant": "missing", "mountPath": "/models"}]}

Change = Callable[[Cluster], Any]


@pytest.mark.parametrize(
    ("recorded", "pod", "settings", "mend"),
    [
        ("no-such-image", {"image": "none:9"}, {}, lambda cluster: cluster.missing_images.clear()),
        ("no-such-secret", {}, _SECRET, lambda cluster: cluster.secrets.update(missing={"key": "x"})),
        ("no-such-key", {}, _MAP, lambda cluster: cluster.config_maps.update(there={"missing": "x"})),
        ("no-such-claim", {}, _CLAIM, lambda cluster: cluster.claims.update(missing=Path("/tmp"))),
        ("no-node-large-enough", _HUGE, {}, lambda cluster: cluster.room.update(cpu="64")),
        ("no-such-gpu", _GPU, {}, lambda cluster: cluster.room.update({"nvidia.com/gpu": "1"})),
    ],
)
def test_a_pod_waits_until_its_trouble_is_over(
    recorded: str, pod: dict[str, Any], settings: dict[str, Any], mend: Change, cluster: Kubeflow
) -> None:
    cluster.cluster.missing_images.add("none:9")
    cluster.cluster.config_maps["there"] = {}
    run = _submit(cluster, task("true", pod=pod), settings)
    status, events = _stuck(cluster, run)
    if "NASHFLOW_KUBEFLOW" in os.environ:
        assert _told(status, events) == _told(*_recorded(recorded))
    assert cluster.server.runs[run.run_id].state == "RUNNING"
    mend(cluster.cluster)
    assert cluster.ended(run).state == "SUCCEEDED"


def test_a_quota_leaves_no_pod(cluster: Kubeflow) -> None:
    cluster.cluster.troubles.append(Trouble("only.*executor", "quota", times=10**6))
    run = _submit(cluster, task("true"), {})
    while "exceeded quota" not in cluster.nodes(run).get(_NODE, {}).get("message", ""):
        time.sleep(0.02)
    assert cluster.nodes(run)[_NODE]["phase"] == "Pending"
    assert not [pod for pod in cluster.kubelet.runtime.pods if "impl" in pod]
    cluster.cluster.troubles.clear()
    assert cluster.ended(run).state == "SUCCEEDED"


def test_a_step_has_its_time(cluster: Kubeflow) -> None:
    run = cluster.ended(_submit(cluster, task("sleep 60"), {"activeDeadlineSeconds": "1"}))
    assert run.state == "FAILED"
    pod = next(pod for pod in cluster.kubelet.runtime.pods.values() if pod.node.endswith(_NODE))
    assert pod.manifest["status"]["reason"] == "DeadlineExceeded"
    assert "longer than the specified deadline" in cluster.nodes(run)[_NODE]["message"]
    assert ("Normal", "DeadlineExceeded") in [(event["type"], event["reason"]) for event in pod.events]


def test_a_log_can_be_followed(cluster: Kubeflow) -> None:
    run = _submit(cluster, task("echo one; sleep 1; echo two"), {})
    while True:
        pods = [pod for pod in cluster.kubelet.runtime.pods.values() if pod.node.endswith(_NODE)]
        if pods and pods[0].phase != "Pending":
            break
        time.sleep(0.02)
    path = f"/api/v1/namespaces/kubeflow/pods/{pods[0].name}/log"
    lines = list(cluster.server.answer("GET", path, {"follow": "true", "timestamps": "true"}, b"", ""))
    said = [line.split(b" ", 1)[1] for line in lines]
    assert said.index(b"one\n") < said.index(b"two\n")
    assert cluster.ended(run).state == "SUCCEEDED"


def _submit(cluster: Kubeflow, only: dict[str, Any], settings: dict[str, Any]) -> Any:
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-only": settings}}}}}
    return cluster.submit(pipeline({"only": {**only, **only.get("pod", {})}}), platform, {})


def _stuck(cluster: Kubeflow, run: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Status and events of the step's pod, once something is wrong with it."""
    while True:
        for pod in list(cluster.kubelet.runtime.pods.values()):
            if pod.node.endswith(_NODE) and any(event["type"] == "Warning" for event in pod.events) and pod.message:
                return pod.manifest["status"], list(pod.events)
        time.sleep(0.02)


def _recorded(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = Path(os.environ["NASHFLOW_KUBEFLOW"])
    pods = json.loads((folder / "stuck-pods.json").read_text())["items"]
    (status,) = (pod["status"] for pod in pods if pod["metadata"]["name"] == name)
    events = json.loads((folder / "stuck-pods-events.json").read_text())["items"]
    return status, [event for event in events if event["involvedObject"]["name"] == name]


def _told(status: dict[str, Any], events: list[dict[str, Any]]) -> Any:
    """What a reader goes by: phase, reasons, and the words of the first warning up to what it is about."""
    waiting = [part["state"].get("waiting", {}).get("reason") for part in status.get("containerStatuses", ())]
    unscheduled = [
        (item["reason"], item["message"])
        for item in status.get("conditions", ())
        if item["type"] == "PodScheduled" and item["status"] == "False"
    ]
    warnings = [(event["reason"], event["message"].split(" ")[0]) for event in events if event["type"] == "Warning"]
    return status["phase"], waiting, unscheduled, warnings[0]
