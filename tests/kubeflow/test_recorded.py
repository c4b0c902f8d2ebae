"""What a real Kubeflow was recorded to make of a pipeline, and what this one makes of the same."""

import itertools
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest

from ..fixtures.recordings import needs_recordings
from ..fixtures.seaweedfs import SeaweedFS
from .cluster import Kubeflow
from .conftest import started
from .pods.cluster import Trouble
from .recorded import pipeline, read
from .stub import Stub

pytestmark = [needs_recordings, pytest.mark.runs]


def test_a_success_though_a_pod_was_deleted(cluster: Kubeflow, stub: Stub) -> None:
    stub.tell(evaluation={"seconds": 2})
    run = cluster.submit(*pipeline(read("workflow-succeeded.json.gz")))
    cluster.kubelet.delete(_running(cluster, run, r"evaluation-000\(0\)\.executor\(0\)"))
    run = cluster.ended(run)
    assert _differences(cluster, run, "workflow-succeeded.json.gz") == {}
    assert _details(run) == _details(read("run-pod-deleted.json"))
    assert [entry.state for entry in run.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert _status(stub) == "COMPLETE"


def test_a_step_that_refuses_its_input(cluster: Kubeflow, stub: Stub) -> None:
    stub.tell(preparation={"exit": 2})
    run = _run(cluster, "workflow-bad-input.json.gz")
    assert _differences(cluster, run, "workflow-bad-input.json.gz") == {}
    assert _details(run) == _details(read("run-bad-input.json"))
    assert _said(cluster.log(run, "(0).root(0).exit-handler-1(0).preparation(0).executor(0)")) == _said(
        _text("log-bad-input.txt")
    )
    assert _status(stub) == "FAILED"


def test_a_step_that_is_killed_for_its_memory(cluster: Kubeflow, stub: Stub) -> None:
    stub.tell(evaluation={"seconds": 60})
    cluster.cluster.troubles.append(Trouble("evaluation-000", "oom"))
    run = _run(cluster, "workflow-oom-killed.json.gz")
    assert _differences(cluster, run, "workflow-oom-killed.json.gz") == {}
    assert _details(run) == _details(read("run-oom-killed.json"))
    assert _status(stub) == "FAILED"


def test_a_run_that_is_cancelled(cluster: Kubeflow, stub: Stub) -> None:
    stub.tell(rollout={"seconds": 60})
    run = cluster.submit(*pipeline(read("workflow-cancelled.json.gz")))
    _running(cluster, run, r"rollout-001-main\(0\)\.executor\(0\)")
    # The driver of the exit task found no room while the step was going, and is not waited for then.
    cluster.cluster.room["cpu"] = "0"
    cluster.server.post(f"runs/{run.run_id}:terminate", {})
    run = cluster.ended(run)
    assert _differences(cluster, run, "workflow-cancelled.json.gz") == {}
    assert _details(run) == _details(read("run-cancelled.json"))
    assert [entry.state for entry in run.state_history] == ["PENDING", "RUNNING", "CANCELING", "FAILED"]
    assert [seen for seen in stub.seen if seen["step"] == "closing"] == []


def test_a_driver_that_fails(cluster: Kubeflow, stub: Stub) -> None:
    spec, platform, parameters = pipeline(read("workflow-compressed.json.gz"))
    inputs = spec["components"]["comp-condition-2"]["dag"]["tasks"]["evaluation-000"]["inputs"]["artifacts"]
    inputs["reference"] = inputs["policy"]
    run = cluster.ended(cluster.submit(spec, platform, parameters))
    assert _details(run) == _details(read("run-failed-driver.json"))
    log = cluster.log(run, "(0).root(0).exit-handler-1(0).condition-2(0).evaluation-000-driver(0)")
    assert "failed to lookup existing execution: no execution found for" in log
    assert 'name=""' in log
    # Its task has no execution, so that nothing ever told the graph of the failure.
    assert _status(stub) == "RUNNING"


def test_a_cancelled_run_closes_if_it_has_room(cluster: Kubeflow, stub: Stub) -> None:
    stub.tell(rollout={"seconds": 60})
    run = cluster.submit(*pipeline(read("workflow-cancelled.json.gz")))
    _running(cluster, run, r"rollout-001-main\(0\)\.executor\(0\)")
    cluster.server.post(f"runs/{run.run_id}:terminate", {})
    assert cluster.ended(run).state == "FAILED"
    # The launcher went with its step, and told nobody.
    assert _status(stub) == "RUNNING"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, seaweedfs_server: SeaweedFS) -> Iterator[tuple[Kubeflow, Any]]:
    """A run that succeeded."""
    folder = tmp_path_factory.mktemp("done")
    with started(folder, seaweedfs_server) as cluster:
        Stub(folder / "stub", cluster)
        yield cluster, cluster.ended(cluster.submit(*pipeline(read("workflow-succeeded.json.gz"))))


def test_an_answer_has_the_same_fields(done: tuple[Kubeflow, Any]) -> None:
    theirs = read("run-pod-deleted.json")
    ours = kfp_server_api.ApiClient().sanitize_for_serialization(done[1])
    # `plugins_input` is what the client sends.
    assert set(theirs) - set(ours) <= {"plugins_input"}
    assert set(ours) <= set(theirs)
    assert _fields(ours["run_details"]["task_details"]) == _fields(theirs["run_details"]["task_details"])


@pytest.mark.parametrize("name", ["preparation", "rollout", "training", "closing"])
def test_the_pod_of_a_step(name: str, done: tuple[Kubeflow, Any]) -> None:
    ours, theirs = _pod(done[0], rf"{name}[^.]*\.executor\(0\)"), read(f"pod-{name}.json")
    _assert_alike(ours, theirs)
    assert _arguments(ours)["executor_input"] == _arguments(theirs)["executor_input"]
    assert _main(ours)["args"][:3] == _main(theirs)["args"][:3]


@pytest.mark.parametrize(
    ("name", "node"), [("container", r"training-\S+-driver\(0\)"), ("dag", r"exit-handler-1-driver\(0\)")]
)
def test_the_pod_of_a_driver(name: str, node: str, done: tuple[Kubeflow, Any]) -> None:
    _assert_alike(_pod(done[0], node), read(f"pod-{name}-driver.json"))


@pytest.mark.parametrize("name", ["training", "closing"])
def test_the_log_of_a_step(name: str, done: tuple[Kubeflow, Any]) -> None:
    cluster, run = done
    (node,) = (node for node in cluster.nodes(run) if re.search(rf"{name}[^.]*\.executor\(0\)", node))
    assert _said(cluster.log(run, node)) == _said(_text(f"log-{name}.txt"))


def _run(cluster: Kubeflow, name: str) -> Any:
    return cluster.ended(cluster.submit(*pipeline(read(name))))


def _differences(cluster: Kubeflow, run: Any, name: str) -> dict[str, Any]:
    """Nodes that are not as in the recorded workflow: type, phase, message."""
    theirs = read(name)
    recorded = {
        node["name"].removeprefix(theirs["metadata"]["name"]): _end(node) for node in theirs["status"]["nodes"].values()
    }
    ours = {node: _end(seen) for node, seen in cluster.nodes(run).items()}
    return {
        node: (ours.get(node), recorded.get(node))
        for node in ours.keys() | recorded.keys()
        if ours.get(node) != recorded.get(node)
    }


def _end(node: dict[str, Any]) -> tuple[Any, ...]:
    message = re.sub(r"deadline \d.*", "deadline", node.get("message", ""))
    return node["type"], node["phase"], message, node["templateName"], node.get("outputs", {}).get("exitCode")


def _details(run: Any) -> Any:
    """Tasks by their names, without the workflow's, and states."""
    run = kfp_server_api.ApiClient().sanitize_for_serialization(run)
    tasks = run["run_details"]["task_details"]
    (name,) = {task["display_name"] for task in tasks if _is_first(task)}
    return run["state"], Counter(
        (task["display_name"].replace(name, "<workflow>"), task.get("state")) for task in tasks
    )


def _is_first(task: dict[str, Any]) -> bool:
    """Whether it is the workflow's own node, which others are named after."""
    children = [child["pod_name"] for child in task.get("child_tasks", ())]
    return any(child.rpartition("-")[0] == task["display_name"] for child in children)


def _fields(items: list[dict[str, Any]]) -> set[str]:
    return {key for item in items for key in item}


def _running(cluster: Kubeflow, run: Any, node: str) -> str:
    """The name of a node's pod, once its step has begun."""
    while True:
        for pod in list(cluster.kubelet.runtime.pods.values()):
            known = {seen["name"]: seen["phase"] for seen in list(cluster.nodes(run).values())}
            if re.search(rf"\.{node}$", pod.node) and known.get(pod.node) == "Running" and '"step"' in pod.log.last:
                return pod.name
        time.sleep(0.02)


def _pod(cluster: Kubeflow, node: str) -> dict[str, Any]:
    (pod,) = (pod for pod in cluster.kubelet.runtime.pods.values() if re.search(rf"\.{node}$", pod.node))
    return pod.manifest


def _assert_alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for key in ("labels", "annotations", "ownerReferences"):
        assert _keys(ours["metadata"][key]) == _keys(theirs["metadata"][key]), key
    for kind in ("containers", "initContainers"):
        assert [part["name"] for part in ours["spec"][kind]] == [part["name"] for part in theirs["spec"][kind]]
    assert {item["name"] for item in _main(ours)["env"]} >= {item["name"] for item in _main(theirs)["env"]} - _ARGO
    assert _main(ours)["command"][:8] == _main(theirs)["command"][:8]
    assert list(_arguments(ours)) == list(_arguments(theirs))
    assert _main(ours)["securityContext"] == _main(theirs)["securityContext"]
    assert ours["status"]["phase"] == theirs["status"]["phase"]


_ARGO = {"ARGO_DEADLINE", "ARGO_PROGRESS_FILE", "ARGO_PROGRESS_PATCH_TICK_DURATION", "ARGO_PROGRESS_FILE_TICK_DURATION"}


def _main(pod: dict[str, Any]) -> dict[str, Any]:
    return next(part for part in pod["spec"]["containers"] if part["name"] == "main")


def _arguments(pod: dict[str, Any]) -> dict[str, Any]:
    """The launcher's or the driver's command line; documents among the values by their shape."""
    words = [*_main(pod)["command"], *_main(pod)["args"]]
    names = [(word[2:], value) for word, value in itertools.pairwise(words) if word.startswith("--")]
    return {name: _shape(name, value) for name, value in names if "_" in name}


def _shape(name: str, value: str) -> Any:
    return _keys(json.loads(value)) if name == "executor_input" else ""


def _keys(value: Any) -> Any:
    """A document without its texts and numbers; of what a step says of its metrics, nothing."""
    if isinstance(value, dict):
        return {key: _keys(item) for key, item in value.items()}
    return [_keys(item) for item in value] if isinstance(value, list) else type(value).__name__


def _text(name: str) -> str:
    return Path(os.environ["NASHFLOW_KUBEFLOW"], name).read_text()


def _said(log: str) -> Iterator[str]:
    """The lines of KFP and Argo, without what varies, in their order; a step's own lines left out."""
    lines = []
    for line in log.splitlines():
        if found := re.match(r"([IWEF])\d{4} [\d:.]+ +\d+ (\w+\.go):\d+\] (.*)", line):
            lines.append(f"{found[1]} {found[2]} {re.sub(r'[0-9a-f-]{36}|[0-9]+|(?<=Path=).*', '', found[3])}")
        elif found := re.match(r"time=\S+ level=INFO (.*)", line):
            lines.append(" ".join(sorted(re.findall(r'\w+=(?:"[^"]*"|\S+)', found[1]))))
        elif line.startswith("Error:"):
            lines.append(line)
    return lines  # type: ignore[return-value]


def _status(stub: Stub) -> str:
    """The final status that the exit task was told."""
    (seen,) = (seen for seen in stub.seen if seen["step"] == "closing")
    return json.loads(seen["argv"][seen["argv"].index("--status") + 1])["state"]  # type: ignore[no-any-return]
