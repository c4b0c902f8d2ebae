"""How runs end, and what is known of them then."""

from typing import Any

import pytest

from ..pipelines.cluster.server import Refused
from .cluster import Kubeflow
from .compiler.workflow import Job, compiled
from .conftest import Submit
from .test_retries import running
from .toy import pipeline, task
from .wire import compact


def test_a_terminated_run_fails(cluster: Kubeflow) -> None:
    run = cluster.submit(pipeline({"only": task("echo begun; sleep 60")}), None, {})
    running(cluster, run)
    cluster.server.post(f"runs/{run.run_id}:terminate", {})
    assert cluster.server.runs[run.run_id].state == "CANCELING"
    run = cluster.ended(run)
    assert [entry.state for entry in run.state_history] == ["PENDING", "RUNNING", "CANCELING", "FAILED"]
    assert run.error is None
    with pytest.raises(Refused):
        cluster.server.post(f"runs/{run.run_id}:terminate", {})


def test_a_retry_runs_what_has_not_succeeded(cluster: Kubeflow, submit: Submit) -> None:
    # What the first attempt leaves in the object store lets the second one pass.
    first = task("echo first")
    second = task("echo second; test -e /kept/mark || { touch /kept/mark; exit 1; }", after=["first"])
    folder = cluster.cluster.claims["kept"] = cluster.folder / "kept"
    folder.mkdir()
    mount = {"pvcMount": [{"constant": "kept", "mountPath": "/kept"}]}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-second": mount}}}}}
    run = submit(pipeline({"first": first, "second": second}), platform)
    assert run.state == "FAILED"
    begun = cluster.nodes(run)["(0).root(0).first(0).executor(0)"]["startedAt"]
    cluster.server.post(f"runs/{run.run_id}:retry", {})
    run = cluster.ended(run)
    assert run.state == "SUCCEEDED"
    assert cluster.nodes(run)["(0).root(0).first(0).executor(0)"]["startedAt"] == begun


def test_details_stop_when_nodes_are_compressed(cluster: Kubeflow) -> None:
    spec = _chain()
    cluster.server.workflow_limit = _specification(spec) + 40_000
    run = cluster.ended(cluster.submit(spec, None, {}))
    assert run.state == "SUCCEEDED"
    ended = {detail.display_name for detail in run.run_details.task_details if detail.state == "SUCCEEDED"}
    assert "task-0" in ended
    assert "task-5" not in ended
    assert "compressedNodes" in cluster.server.workflows[run.run_id].stored()["status"]


def test_a_workflow_that_is_too_large_ends_in_the_middle(cluster: Kubeflow) -> None:
    spec = _chain()
    cluster.server.workflow_limit = _specification(spec) + 3_500
    run = cluster.ended(cluster.submit(spec, None, {}))
    assert run.state == "FAILED"
    stored = cluster.server.workflows[run.run_id].stored()
    assert stored["status"]["phase"] == "Error"
    assert stored["status"]["message"] == "offload node status is not supported"
    assert cluster.nodes(run)["(0).root(0).task-0(0).executor(0)"]["phase"] == "Succeeded"
    assert "(0).root(0).task-5(0).executor(0)" not in cluster.nodes(run)


def _chain() -> dict[str, Any]:
    names = [f"task-{number}" for number in range(6)]
    return pipeline({name: task("true", after=names[:number][-1:]) for number, name in enumerate(names)})


def _specification(spec: dict[str, Any]) -> int:
    return len(compact(compiled(spec, None, Job("a run", "its name"))))


def test_an_hour_later_there_are_no_pods(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task("true")}))
    assert _pods(cluster, run.run_id)
    cluster.server.expire()
    assert not _pods(cluster, run.run_id)
    assert cluster.server.runs[run.run_id].state == "SUCCEEDED"
    assert any(key.endswith("executor-logs-0") for key in cluster.keys(run))


def _pods(cluster: Kubeflow, run_id: str) -> list[object]:
    path = f"/api/v1/namespaces/{cluster.server.namespace}/pods"
    query = {"labelSelector": f"pipeline/runid={run_id}"}
    return cluster.server.answer("GET", path, query, b"", "")["items"]  # type: ignore[no-any-return]
