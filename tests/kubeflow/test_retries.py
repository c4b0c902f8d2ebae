"""Which attempts there are: of steps that fail, of pods that are lost."""

import time
from typing import Any

from .argo.retries import decide
from .cluster import Kubeflow
from .conftest import Submit
from .pods.cluster import Trouble
from .toy import pipeline, task


def test_a_step_that_fails_is_not_tried_again(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task("exit 1", retries=3)}))
    assert run.state == "FAILED"
    assert _attempts(cluster, run) == ["Failed"]


def test_a_pod_that_is_evicted_is_not_made_again(cluster: Kubeflow, submit: Submit) -> None:
    cluster.cluster.troubles.append(Trouble("only", "evicted"))
    run = submit(pipeline({"only": task("sleep 60", retries=3)}))
    assert run.state == "FAILED"
    assert _attempts(cluster, run) == ["Failed"]
    assert "exceeds the limit" in cluster.nodes(run)["(0).root(0).only(0).executor(0)"]["message"]


def test_a_pod_that_is_lost_is_made_again_under_its_name(cluster: Kubeflow) -> None:
    run = cluster.submit(pipeline({"only": task("echo begun; sleep 2; echo over", retries=3)}), None, {})
    name = running(cluster, run)
    cluster.kubelet.delete(name)
    assert cluster.ended(run).state == "SUCCEEDED"
    assert _attempts(cluster, run) == ["Succeeded"]
    assert name in cluster.kubelet.runtime.pods
    assert "over" in cluster.log(run, "(0).root(0).only(0).executor(0)")


def test_the_longest_backoff_bounds_all_attempts() -> None:
    strategy: dict[str, Any] = {"limit": "3", "retryPolicy": "OnError"}
    backoff = {"duration": "60", "factor": "2"}
    first = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:10Z", "phase": "Error"}
    from datetime import datetime

    moment = datetime.fromisoformat("2026-01-01T00:00:11Z")
    short = decide({**strategy, "backoff": {**backoff, "maxDuration": "10"}}, [first], moment, 1.0)
    assert not short.again
    enough = decide({**strategy, "backoff": {**backoff, "maxDuration": "3600"}}, [first], moment, 1.0)
    assert enough.again
    assert enough.wait == 59.0


def running(cluster: Kubeflow, run: Any) -> str:
    """The name of the pod of the task `only`, once the workflow knows that it runs and its step has begun."""
    node = "(0).root(0).only(0).executor(0)"
    while True:
        if cluster.nodes(run).get(node, {}).get("phase") == "Running" and "begun" in cluster.log(run, node):
            workflow = cluster.server.workflows[run.run_id].name
            return next(pod.name for pod in cluster.kubelet.runtime.pods.values() if pod.node == workflow + node)
        time.sleep(0.02)


def _attempts(cluster: Kubeflow, run: Any) -> list[str]:
    start = "(0).root(0).only(0).executor("
    return [node["phase"] for name, node in cluster.nodes(run).items() if name.startswith(start)]
