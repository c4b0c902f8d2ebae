"""A recipe too long for one workflow: each run submits the next, once, and `--wait` follows them all."""

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import Call as StepCall
from nashflow.components.shared.protocol import Result
from nashflow.components.shared.store import open_store
from nashflow.pipelines.client import waiting
from nashflow.pipelines.continuation import step
from nashflow.pipelines.recipe import load_recipe

from .conftest import ROOT, Call
from .server import Fault, KfpServer, Snapshot, node

SETS = ["run.iterations=5", "cluster.iterations_per_run=2"]
CHAINED = [part for item in SETS for part in ("--set", item)]


def go_on(kfp: KfpServer, run_id: str, first: int, root: Path) -> Result:
    """What the last task of the run `run_id` does in its pod."""
    return step.run(StepCall(open_store(str(root)), first, "", 0, load_recipe("quickstart", SETS), {"job-id": run_id}))


@pytest.fixture
def in_pod(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kfp.url)


def iterations(kfp: KfpServer, run: Any) -> set[str]:
    """The iterations that a run's version unrolls, and what it ends with."""
    version = kfp.versions[run.pipeline_version_reference.pipeline_version_id]
    names = version.pipeline_spec["pipeline_spec"]["components"]
    return {name.removeprefix("comp-") for name in names if name.startswith(("comp-rollout", "comp-continuation"))}


@pytest.mark.usefixtures("in_pod")
def test_each_run_submits_the_next_with_what_it_was_given(submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    submit(*CHAINED, "--service-account", "nashflow-runner", "--experiment", "mine")
    (first,) = kfp.runs.values()
    first.runtime_config.parameters["only_new_prompts"] = "true"
    go_on(kfp, first.run_id, 3, tmp_path)
    _, second = kfp.runs.values()
    go_on(kfp, second.run_id, 5, tmp_path)
    _, _, third = kfp.runs.values()
    assert iterations(kfp, first) == {"rollout-001-main", "rollout-002-main", "continuation-003"}
    assert iterations(kfp, second) == {"rollout-003-main", "rollout-004-main", "continuation-005"}
    assert iterations(kfp, third) == {"rollout-005-main"}
    for run in (second, third):
        assert run.runtime_config.parameters == {
            "run_root": str(tmp_path),
            "owner": first.run_id,
            "only_new_prompts": "true",
        }
        assert (run.service_account, run.experiment_id) == ("nashflow-runner", first.experiment_id)
        assert run.plugins_input == first.plugins_input == {"mlflow": {"experiment_name": "mine"}}
    assert len({run.pipeline_version_reference.pipeline_id for run in kfp.runs.values()}) == 1


@pytest.mark.usefixtures("in_pod")
@pytest.mark.parametrize(
    "fault", [None, Fault("POST .*/runs", "reset", "before"), Fault("POST .*/runs", "502", "after")]
)
def test_a_repeated_continuation_submits_nothing_twice(
    submit: Call, kfp: KfpServer, tmp_path: Path, fault: Fault | None
) -> None:
    submit(*CHAINED)
    (first,) = kfp.runs.values()
    kfp.faults = [fault] if fault else []
    with contextlib.suppress(ConnectionError):  # then the pod is started again
        go_on(kfp, first.run_id, 3, tmp_path)
    go_on(kfp, first.run_id, 3, tmp_path)
    assert len(kfp.runs) == 2


@pytest.mark.usefixtures("in_pod")
def test_a_run_that_was_retried_submits_nothing_that_the_first_attempt_has_submitted(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    submit(*CHAINED)
    (first,) = kfp.runs.values()
    go_on(kfp, first.run_id, 3, tmp_path)
    _, second = kfp.runs.values()
    first.state = "FAILED"
    refused = call("retry", first.run_id, "--host", kfp.url)
    assert (refused.code, f"{second.display_name} goes on with it already" in refused.line) == (2, True)
    second.state = "FAILED"
    assert call("retry", first.run_id, "--host", kfp.url).code == 0
    *_, again = kfp.runs.values()
    go_on(kfp, again.run_id, 3, tmp_path)
    assert len(kfp.runs) == 3


@pytest.mark.usefixtures("in_pod")
def test_a_server_that_refuses_says_so_in_the_pods_log(submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    submit(*CHAINED)
    kfp.tokens = {"another"}
    with pytest.raises(UserError, match=r"who asks is not known \(401\)"):
        go_on(kfp, next(iter(kfp.runs)), 3, tmp_path)


@pytest.mark.usefixtures("in_pod")
def test_wait_follows_the_chain_to_its_end(
    submit: Call, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def between_polls(seconds: float) -> None:
        """The run at work ends, and has submitted the next unless it is the last."""
        number, run = len(kfp.runs), list(kfp.runs.values())[-1]
        kfp.script = [Snapshot("RUNNING"), Snapshot("SUCCEEDED")]
        if number < 3:
            kfp.script[1].nodes.append(node(f"continuation-{2 * number + 1:03d}", seconds=3))
            go_on(kfp, run.run_id, 2 * number + 1, tmp_path)

    monkeypatch.setattr(waiting.time, "sleep", between_polls)
    kfp.script = [Snapshot("RUNNING")]
    done = submit(*CHAINED, "--wait")
    assert (done.code, done.err) == (0, "")
    assert len(kfp.runs) == 3
    shown = re.findall(r"^(\S+) \((\S+)\): ", done.out, re.MULTILINE)
    assert shown == [(run.display_name, run.run_id) for run in kfp.runs.values()]
    assert done.out.count("succeeded in") == 3


def test_wait_ends_with_the_run_of_a_chain_that_failed(submit: Call, kfp: KfpServer) -> None:
    kfp.script = [Snapshot("RUNNING"), Snapshot("FAILED")]
    assert submit(*CHAINED, "--wait").code == 1
    assert len(kfp.runs) == 1


def test_a_chain_begins_under_the_run_root_of_its_first_job(submit: Call, kfp: KfpServer) -> None:
    assert submit(*CHAINED, "--run-root", "s3://runs/{job}").code == 0
    (run,) = kfp.runs.values()
    assert run.runtime_config.parameters["run_root"] == "s3://runs/{job}" != ROOT
