"""What `nashflow cancel` does about TrainJobs that the steps of a run have left behind."""

from typing import Any

import pytest

from ..conftest import Call
from ..pod_server import PodServer
from ..server import KfpServer

BY_A_JOB = (
    "training.engine={kind: deepspeed, precision: float32}",
    "training.launcher={kind: trainjob, nodes: 1}",
    "cluster.profile=cpu",
)


def cancelled(call: Call, kfp: KfpServer, *sets: str) -> tuple[Any, list[str]]:
    """A run that has just been cancelled, and what the command said."""
    options = [part for text in sets for part in ("--set", text)]
    call("submit", "quickstart", "--run-root", "s3://bucket/one", "--host", kfp.url, *options)
    (run,) = kfp.runs.values()
    return run, call("cancel", run.run_id, "--host", kfp.url).out.splitlines()


@pytest.fixture
def jobs(kfp: KfpServer, cluster: PodServer) -> PodServer:
    """One of each run that is made, and another's."""

    of_all = {"namespace": "kubeflow"}

    def made() -> None:
        cluster.jobs = [
            {"metadata": {**of_all, "name": f"train-{run}", "uid": f"uid-{run}", "labels": {"pipeline/runid": run}}}
            for run in [*kfp.runs, "another"]
        ]

    kfp.on_request = lambda: made() if len(cluster.jobs) < 1 + len(kfp.runs) else None
    return cluster


def test_those_of_the_run_are_deleted(call: Call, kfp: KfpServer, jobs: PodServer) -> None:
    run, said = cancelled(call, kfp, *BY_A_JOB)
    assert f"the TrainJob train-{run.run_id} was left behind, and is being deleted" in said


def test_who_may_not_see_them_is_told_how(call: Call, kfp: KfpServer, jobs: PodServer) -> None:
    jobs.forbidden = "trainjobs"
    run, said = cancelled(call, kfp, *BY_A_JOB)
    (line,) = (line for line in said if "TrainJobs" in line)
    assert f"kubectl delete trainjobs --selector pipeline/runid={run.run_id} --namespace kubeflow" in line


def test_of_a_run_that_makes_none_nothing_is_asked(call: Call, kfp: KfpServer, jobs: PodServer) -> None:
    _, said = cancelled(call, kfp)
    assert not [path for path in jobs.seen if "trainjobs" in path]
    assert "TrainJob" not in "".join(said)
