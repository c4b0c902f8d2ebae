"""One attempt by a TrainJob, against a Trainer that runs the pods as processes here: made, followed, ended, deleted."""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import Pending, TryAgain, UserError
from nashflow.components.training.launchers.trainjob import api as api_module
from nashflow.components.training.launchers.trainjob import attempt
from nashflow.components.training.launchers.trainjob.api import Api
from nashflow.components.training.launchers.trainjob.manifest import train_job
from tests.fixtures.cli import wait_for
from tests.pipelines.cluster.server import Fault

from .conftest import TrainerServer

NAME = "mine-001-main-1a2b3c4d"
RANK = "import os, sys, time; rank = os.environ['PET_NODE_RANK']\n"
LONG = RANK + "print('begun', rank, flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def _inside(inside: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(attempt, "_SETTLE_SECONDS", 0.2)


def job_of(api: Api, code: str, nodes: int = 2) -> dict[str, Any]:
    command = [sys.executable, "-c", code]
    return train_job(NAME, api.own_pod(), api.runtime("torch-distributed"), nodes, 1, command, {"A": "b"})


def carry_out(code: str, nodes: int = 2) -> None:
    api = Api()
    attempt.carry_out(api, job_of(api, code, nodes))


def gone(server: TrainerServer) -> None:
    wait_for(lambda: not server.trainer.jobs)


def test_both_nodes_logs_are_the_steps_and_the_job_is_deleted(
    server: TrainerServer, capfd: pytest.CaptureFixture[str]
) -> None:
    told = ("PET_NNODES", "PET_NPROC_PER_NODE", "PET_MASTER_ADDR", "AWS_SECRET_ACCESS_KEY", "A", "KFP_POD_NAME")
    carry_out(RANK + f"print(rank, *(os.environ.get(each) for each in {told}))")
    said = capfd.readouterr().err.splitlines()
    assert said[0] == f"TrainJob {NAME}: made, 2 nodes"
    assert sorted(said[1:]) == ["0 2 1 127.0.0.1 s3cret b None", "node 1: 1 2 1 127.0.0.1 s3cret b None"]
    gone(server)
    (body,) = server.trainer.bodies
    assert (body["apiVersion"], body["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (2, UserError, "bad pairs"),
        (3, Pending, "bad pairs"),
        (75, TryAgain, "bad pairs"),
        (1, SystemExit, "1"),
        (9, SystemExit, "9"),
        (-9, SystemExit, "137"),
    ],
)
def test_a_failing_node_ends_the_whole_with_its_exit_code(
    server: TrainerServer, capfd: pytest.CaptureFixture[str], code: int, kind: type[BaseException], said: str
) -> None:
    """Trainer itself would start it again six times."""
    end = f"os.kill(os.getpid(), {-code})" if code < 0 else f"sys.exit({code})"
    with pytest.raises(kind) as caught:
        carry_out(RANK + f"time.sleep(600 * (rank == '0'))\nprint('training: bad pairs', flush=True)\n{end}")
    line = str(caught.value) if kind is not SystemExit else capfd.readouterr().err.splitlines()[-1]
    number = 137 if code < 0 else code
    reason = " (OOMKilled)" if code < 0 else ""
    assert line == f"node 1 of the TrainJob {NAME} ended with exit code {number}{reason}: training: bad pairs"
    assert said in str(caught.value)
    gone(server)


def test_the_node_that_says_why_counts_not_those_that_end_because_of_it(
    server: TrainerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_SETTLE_SECONDS", 600.0)
    with pytest.raises(UserError, match=r"node 1 .* NaN in row 7"):
        carry_out(RANK + "print('NaN in row 7' if rank == '1' else 'peer lost'); sys.exit(2 if rank == '1' else 1)")


def test_an_attempt_attaches_to_the_job_of_one_that_lost_its_pod(
    server: TrainerServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = RANK + f"print('at work', flush=True)\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.02)"
    api = Api()
    api.create(job_of(api, code))
    uid = server.trainer.jobs[NAME].manifest["metadata"]["uid"]
    second = threading.Thread(target=attempt.carry_out, args=(api, job_of(api, code)))
    second.start()
    wait_for(
        lambda: all(b"at work" in b"".join(node.logs[0].read(False, False, None)) for node in server.trainer.nodes())
    )
    assert server.trainer.jobs[NAME].manifest["metadata"]["uid"] == uid
    (tmp_path / "go").touch()
    second.join()
    assert f"TrainJob {NAME}: found at work, and followed" in capfd.readouterr().err
    assert len(server.trainer.bodies) == 1


def test_a_job_that_finished_unobserved_is_not_run_again(server: TrainerServer) -> None:
    api, code = Api(), "print('done')"
    api.create(job_of(api, code))
    wait_for(lambda: server.trainer.jobs[NAME].manifest.get("status"))
    carry_out(code)
    assert len(server.trainer.bodies) == 1
    gone(server)


@pytest.mark.parametrize("old", [LONG, "import sys; sys.exit(1)"], ids=["other", "failed"])
def test_a_job_that_runs_something_else_or_failed_is_replaced(server: TrainerServer, old: str) -> None:
    api = Api()
    api.create(job_of(api, old))
    if old is not LONG:
        for node in server.trainer.nodes():
            node.restarts = 6
        wait_for(lambda: server.trainer.jobs[NAME].manifest.get("status"))
    carry_out("print('new')" if old is LONG else "print('new')\n")
    assert len(server.trainer.bodies) == 2


def test_a_stopped_step_deletes_its_job(server: TrainerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM becomes an exception in the step."""
    real, polls = time.sleep, []

    def sleep(seconds: float) -> None:
        polls.append(seconds)
        if len(server.trainer.nodes()) == 2 and len(polls) > 5:
            raise SystemExit(143)
        real(seconds)

    monkeypatch.setattr(attempt.time, "sleep", sleep)
    with pytest.raises(SystemExit, match="143"):
        carry_out(RANK + "time.sleep(600)", 2)
    monkeypatch.undo()
    gone(server)


def test_a_job_that_has_taken_the_name_since_is_not_deleted(
    server: TrainerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody deletes the job, and another attempt makes it anew, while this one is being stopped."""
    seen = []

    def follow(api: Api, name: str, nodes: int, identity: str) -> None:
        seen.append(identity)
        server.trainer.delete(name)
        gone(server)
        api.create(job_of(api, LONG))
        raise SystemExit(143)

    monkeypatch.setattr(attempt, "_follow", follow)
    with pytest.raises(SystemExit, match="143"):
        carry_out(LONG)
    (there,) = server.trainer.jobs.values()
    assert "deletionTimestamp" not in there.manifest["metadata"]
    assert there.manifest["metadata"]["uid"] not in seen


def test_a_job_that_somebody_else_deletes_is_told(server: TrainerServer) -> None:
    def delete() -> None:
        wait_for(lambda: any(request.endswith("/pods") for request in server.seen))
        server.trainer.delete(NAME)

    threading.Thread(target=delete).start()
    with pytest.raises(TryAgain, match=f"the TrainJob {NAME} is gone: somebody else deleted it"):
        carry_out(LONG)


def test_why_pods_wait_is_said(
    server: TrainerServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attempt, "_SAID_SECONDS", 0.0)
    for lack in ("lacks_room", "quota"):
        why = (
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
            if lack == "lacks_room"
            else "exceeded quota: gpus"
        )
        server.trainer.lacks_room = server.trainer.quota = ""
        setattr(server.trainer, lack, why)
        heard: list[str] = []

        def until_said(heard: list[str] = heard, why: str = why) -> None:
            wait_for(lambda: heard.append(capfd.readouterr().err) or why in "".join(heard))
            server.trainer.delete(NAME)

        listener = threading.Thread(target=until_said)
        listener.start()
        with pytest.raises(TryAgain):
            carry_out(LONG)
        listener.join()
        assert re.search(rf"TrainJob {NAME} waits: .*{re.escape(why)}", "".join(heard))


REFUSALS: dict[str, tuple[Callable[[TrainerServer], Any], str, str]] = {
    "no such runtime": (
        lambda server: (
            server.trainer.runtimes["clustertrainingruntimes"].update({"jax": {}})
            or server.trainer.runtimes["clustertrainingruntimes"].pop("torch-distributed")
        ),
        *("neither team nor the cluster has a training runtime torch-distributed", "there are jax: set one for torch"),
    ),
    "no Trainer": (lambda server: setattr(server.api, "served", False), "does not serve trainer", "install Kubeflow"),
    "Trainer 2.1": (
        lambda server: server.trainer.unknown.add("runtimePatches"),
        *('older than 2.2 and cannot run this TrainJob (TrainJob in version "v1alpha1"', "install 2.2 or newer"),
    ),
    "no right to make it": (
        lambda server: server.api.denied.add("create trainjobs"),
        *("may not create trainjobs in team", "trainer.enabled=true"),
    ),
    "no right to see pods": (
        lambda server: server.api.denied.add("list pods"),
        *("may not list pods in team", "cluster.service_account"),
    ),
    "webhook": (
        lambda server: setattr(server.trainer, "_check", _denied),
        *("the cluster refuses to create trainjobs for this training: admission webhook", "denied the request"),
    ),
}


def _denied(body: dict[str, Any], strict: bool) -> None:
    from tests.kubeflow.trainer.jobs import refused

    raise refused(403, "Forbidden", 'admission webhook "validator.trainjob" denied the request: spec: Invalid value')


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_cluster_refuses_is_one_line_that_helps(server: TrainerServer, name: str) -> None:
    spoil, found, advice = REFUSALS[name]
    spoil(server)
    with pytest.raises(UserError) as caught:
        carry_out(LONG)
    assert found in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    gone(server)


def test_a_runtime_of_the_namespace_goes_before_the_clusters(server: TrainerServer) -> None:
    assert Api().runtime("torch-distributed")["kind"] == "ClusterTrainingRuntime"
    server.trainer.runtimes["trainingruntimes"]["torch-distributed"] = {}
    assert Api().runtime("torch-distributed")["kind"] == "TrainingRuntime"


def test_a_step_that_may_not_see_runtimes_takes_the_clusters(server: TrainerServer) -> None:
    """As in Kubeflow with several users, where a profile's account sees nothing of the cluster's."""
    server.api.denied |= {"list clustertrainingruntimes", "list trainingruntimes"}
    assert Api().runtime("anything")["kind"] == "ClusterTrainingRuntime"


def test_an_api_that_is_away_for_a_moment_is_waited_for(server: TrainerServer) -> None:
    server.faults = [Fault("POST .*/trainjobs", "reset", "after"), Fault("GET .*/trainjobs/.*", "503", times=2)]
    carry_out("print('done')")
    assert len(server.trainer.bodies) == 1


def test_an_api_that_stays_away_ends_the_attempt_and_not_the_job(
    server: TrainerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "_PATIENCE_SECONDS", 0.2)
    api = Api()
    api.create(job_of(api, LONG))
    server.faults = [Fault("GET .*/pods", "503", times=1000)]
    with pytest.raises(TryAgain, match="the Kubernetes API does not answer"):
        carry_out(LONG)
    assert NAME in server.trainer.jobs


@pytest.mark.parametrize("name", ["NASHFLOW_POD", "NASHFLOW_NAMESPACE"])
def test_outside_of_a_pod_it_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(UserError, match="trainjob needs a run on Kubeflow"):
        Api()


def test_nothing_is_left_of_a_process(server: TrainerServer) -> None:
    with contextlib.suppress(SystemExit):
        carry_out(RANK + f"import pathlib; pathlib.Path('/proc/{os.getpid()}').stat(); sys.exit(9)")
    gone(server)
    assert server.trainer.nodes() == []
