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

from .conftest import Call, Done
from .server import Fault, KfpServer, Snapshot, node

SETS = ["run.iterations=5", "cluster.iterations_per_run=2"]
CHAINED = [part for item in SETS for part in ("--set", item)]


def go_on(kfp: KfpServer, run_id: str, first: int, root: Path) -> Result:
    """What the last task of the run `run_id` does in its pod."""
    return step.run(StepCall(open_store(str(root)), first, "", 0, load_recipe("quickstart", SETS), {"job-id": run_id}))


@pytest.fixture
def in_pod(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kfp.url)


def submitted(first: int) -> Snapshot:
    """A run that has succeeded, and has submitted that of the iterations from `first` on."""
    return Snapshot("SUCCEEDED", [node(f"continuation-{first:03d}", seconds=3)])


def at_work_in_the_second(submit: Call, kfp: KfpServer, root: Path) -> tuple[Any, Any]:
    """The first run of a chain, which has succeeded, and the second."""
    submit(*CHAINED)
    (first,) = kfp.runs.values()
    go_on(kfp, first.run_id, 3, root)
    _, second = kfp.runs.values()
    kfp.script = []
    kfp.advance(first, submitted(3))
    return first, second


def retried_in_the_middle(submit: Call, call: Call, kfp: KfpServer, root: Path) -> tuple[Any, Any, Any]:
    """The first run of a chain, the second, which has failed, and its retry."""
    first, second = at_work_in_the_second(submit, kfp, root)
    kfp.advance(second, Snapshot("FAILED"))
    assert call("retry", second.run_id, "--host", kfp.url).code == 0
    return first, second, list(kfp.runs.values())[-1]


def iterations(kfp: KfpServer, run: Any) -> set[str]:
    """The iterations that a run's version unrolls, and what it ends with."""
    version = kfp.versions[run.pipeline_version_reference.pipeline_version_id]
    tasks = version.pipeline_spec["pipeline_spec"]["components"]["comp-condition-2"]["dag"]["tasks"]
    return {name for name in tasks if name.startswith(("rollout", "continuation"))}


@pytest.mark.usefixtures("in_pod")
def test_each_run_submits_the_next_with_what_it_was_given(submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    submit(*CHAINED, "--service-account", "nashflow-runner", "--experiment", "mine")
    (first,) = kfp.runs.values()
    first.runtime_config.parameters |= {"only_new_prompts": True, "set": "method.eta=0.25"}
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
            "set": "method.eta=0.25",
            "takes_over": first.run_id,
            "only_new_prompts": True,
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
@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_was_retried_goes_on_where_the_next_one_did_not_succeed(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path, state: str
) -> None:
    submit(*CHAINED)
    (first,) = kfp.runs.values()
    go_on(kfp, first.run_id, 3, tmp_path)
    _, second = kfp.runs.values()
    first.state = "FAILED"
    refused = call("retry", first.run_id, "--host", kfp.url)
    assert (refused.code, f"{second.display_name} goes on with it already" in refused.line) == (2, True)
    second.state = state
    assert call("retry", first.run_id, "--host", kfp.url).code == 0
    *_, again = kfp.runs.values()
    for _ in range(2):
        go_on(kfp, again.run_id, 3, tmp_path)
        *_, third = kfp.runs.values()
        assert len(kfp.runs) == 4
        assert third.display_name == f"{second.display_name}-{second.run_id[:8]}"
        assert third.runtime_config.parameters == second.runtime_config.parameters
    third.state = state
    go_on(kfp, again.run_id, 3, tmp_path)
    *_, fourth = kfp.runs.values()
    assert fourth.display_name == f"{second.display_name}-{third.run_id[:8]}"


@pytest.mark.usefixtures("in_pod")
@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_a_next_run_whose_retry_did_better_is_not_submitted_again(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path, state: str
) -> None:
    first, _, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    third.state = state
    go_on(kfp, first.run_id, 3, tmp_path)
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


def followed(done: Done) -> list[str]:
    """The ids of the runs that `wait` has shown."""
    return re.findall(r"^\S+ \((\S+)\): ", done.out, re.MULTILINE)


@pytest.mark.usefixtures("in_pod")
@pytest.mark.parametrize("deleted", [False, True])
def test_wait_follows_what_was_retried_in_the_middle(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path, deleted: bool
) -> None:
    """Also where the run that failed is there no more."""
    first, second, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    kfp.advance(third, submitted(5))
    go_on(kfp, third.run_id, 5, tmp_path)
    *_, fourth = kfp.runs.values()
    kfp.advance(fourth, Snapshot("SUCCEEDED"))
    if deleted:
        del kfp.runs[second.run_id]
    done = call("wait", first.run_id, "--host", kfp.url)
    assert (done.code, followed(done)) == (0, [first.run_id, third.run_id, fourth.run_id])


@pytest.mark.usefixtures("in_pod")
def test_wait_names_the_newest_that_failed(submit: Call, call: Call, kfp: KfpServer, tmp_path: Path) -> None:
    """A clone that was made in the user interface counts too: it has the same version."""
    first, _, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    third.display_name = "Clone"
    kfp.advance(third, Snapshot("FAILED"))
    done = call("wait", first.run_id, "--host", kfp.url)
    assert (done.code, f"`nashflow retry {third.run_id} " in done.err) == (1, True)


@pytest.mark.usefixtures("in_pod")
def test_wait_outlives_a_listing_without_the_next_run(submit: Call, call: Call, kfp: KfpServer, tmp_path: Path) -> None:
    first, _, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    kfp.advance(third, Snapshot("SUCCEEDED"))
    kfp.faults = [Fault("GET .*/runs", "empty", times=2)]
    assert call("wait", first.run_id, "--host", kfp.url).code == 0
    assert kfp.faults[0].times == 0


@pytest.mark.usefixtures("in_pod")
def test_retries_inside_a_chain_are_named_after_what_they_go_on_with(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    _, second, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    third.state = "FAILED"
    assert call("retry", third.run_id, "--host", kfp.url).code == 0
    *_, fourth = kfp.runs.values()
    for again in (third, fourth):
        assert re.fullmatch(f"{second.display_name}-[0-9a-f]{{8}}", again.display_name)
    assert third.display_name != fourth.display_name


@pytest.mark.usefixtures("in_pod")
def test_a_run_whose_retry_has_succeeded_is_not_retried_again(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    _, second, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    kfp.advance(third, submitted(5))
    refused = call("retry", second.run_id, "--host", kfp.url)
    assert (refused.code, len(kfp.runs)) == (2, 3)
    assert f"{third.display_name} goes on with it already, and has succeeded" in refused.line
    assert f"`nashflow wait {third.run_id} --host {kfp.url}`" in refused.line


@pytest.mark.usefixtures("in_pod")
def test_a_chain_that_is_cut_off_is_no_success_and_retry_mends_it(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    first, second = at_work_in_the_second(submit, kfp, tmp_path)
    assert call("retry", first.run_id, "--host", kfp.url).code == 2
    del kfp.runs[second.run_id]
    done = call("wait", first.run_id, "--host", kfp.url)
    assert (done.code, second.display_name in done.line) == (1, True)
    assert f"`nashflow retry {first.run_id} --host {kfp.url}`" in done.line
    assert call("retry", first.run_id, "--host", kfp.url).code == 0
    *_, again = kfp.runs.values()
    assert again.runtime_config.parameters["takes_over"] == first.run_id
    go_on(kfp, again.run_id, 3, tmp_path)
    *_, third = kfp.runs.values()
    assert (third.display_name, iterations(kfp, third)) == (second.display_name, iterations(kfp, second))
    kfp.advance(again, submitted(3))
    kfp.advance(third, Snapshot("SUCCEEDED"))
    assert call("wait", first.run_id, "--host", kfp.url).code == 0


def test_wait_ends_with_the_run_of_a_chain_that_failed(submit: Call, kfp: KfpServer) -> None:
    kfp.script = [Snapshot("RUNNING"), Snapshot("FAILED")]
    assert submit(*CHAINED, "--wait").code == 1
    assert len(kfp.runs) == 1


def test_a_chain_begins_under_the_run_root_of_its_first_run(submit: Call, kfp: KfpServer) -> None:
    assert submit(*CHAINED, "--run-root", "s3://runs/{job}").code == 0
    (run,) = kfp.runs.values()
    assert run.runtime_config.parameters["run_root"] == f"s3://runs/{run.display_name}"


@pytest.mark.usefixtures("in_pod")
def test_cancel_names_the_run_of_the_chain_that_is_at_work(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    first, second, third = retried_in_the_middle(submit, call, kfp, tmp_path)
    submit()
    for ended, state in ((first, "succeeded"), (second, "failed")):
        refused = call("cancel", ended.run_id, "--host", kfp.url)
        assert (refused.code, f"{ended.display_name}: has ended already ({state}); " in refused.line) == (2, True)
        assert f"{third.display_name}, is at work: `nashflow cancel {third.run_id} --host {kfp.url}`" in refused.line


@pytest.mark.usefixtures("in_pod")
def test_wait_finds_the_next_run_where_kfps_details_stop_before_the_end(
    submit: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    """As they do for a large run: by its graph it submits the next one, and a run that succeeded has done so."""
    first, second = at_work_in_the_second(submit, kfp, tmp_path)
    kfp.advance(first, Snapshot("SUCCEEDED", [node("preparation", seconds=3), node("rollout-001-main", seconds=9)]))
    kfp.advance(second, Snapshot("SUCCEEDED"))
    done = call("wait", first.run_id, "--host", kfp.url)
    assert (done.code, f"{second.display_name} ({second.run_id})" in done.out) == (0, True)
