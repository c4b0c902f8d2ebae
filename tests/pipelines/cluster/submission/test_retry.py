"""`nashflow retry`."""

from typing import Any

import pytest

from ..conftest import ROOT, Call
from ..server import Fault, KfpServer, Snapshot


def at(kfp: KfpServer, run: Any, state: str) -> None:
    """Take a run to a state at once."""
    kfp.script = []
    kfp.advance(run, Snapshot(state))


def test_retry_goes_on_under_the_same_run_root(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit("--service-account", "trainer")
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    done = call("retry", run.run_id, "--host", kfp.url)
    (_, again) = kfp.runs.values()
    assert (done.code, again.run_id in done.out) == (0, True)
    assert again.display_name != run.display_name
    assert again.display_name.startswith("quickstart-")
    for same in ("pipeline_version_reference", "experiment_id", "service_account", "plugins_input"):
        assert getattr(again, same) == getattr(run, same)
    assert again.runtime_config.parameters == {"run_root": ROOT, "set": "", "takes_over": run.run_id}


def test_retry_of_a_firing_keeps_its_run_root(call: Call, kfp: KfpServer) -> None:
    """Also when it is retried a second time; and the lock's owner stays the first job."""
    sets = ["--set", "run.iterations=1", "--run-root", "s3://bucket/{job}"]
    call("schedule", "apply", "quickstart", *sets, "--cron", "0 0 3 * * 1", "--name", "weekly", "--host", kfp.url)
    first = kfp.fire("weekly")
    at(kfp, first, "FAILED")
    call("retry", first.run_id, "--host", kfp.url)
    second = list(kfp.runs.values())[-1]
    at(kfp, second, "FAILED")
    call("retry", second.run_id, "--host", kfp.url)
    third = list(kfp.runs.values())[-1]
    assert len(kfp.runs) == 3
    for again in (second, third):
        assert again.runtime_config.parameters == {
            "run_root": f"s3://bucket/{first.run_id}",
            "set": "",
            "takes_over": first.run_id,
            "only_new_prompts": True,
        }


@pytest.mark.parametrize(("when", "code", "runs"), [("before", 75, 1), ("after", 0, 2)])
def test_retry_starts_one_run_at_most_through_a_broken_request(
    submit: Call, call: Call, kfp: KfpServer, when: str, code: int, runs: int
) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    kfp.faults = [Fault("POST .*/runs", "reset", when)]
    assert (call("retry", run.run_id, "--host", kfp.url).code, len(kfp.runs)) == (code, runs)


def test_what_is_retried_already_is_not_retried_again(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    assert call("retry", run.run_id, "--host", kfp.url).code == 0
    *_, second = kfp.runs.values()
    at(kfp, second, "RUNNING")
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, len(kfp.runs)) == (2, 2)
    assert (
        f"{second.display_name} has already resumed it, and is running: `nashflow wait {second.run_id}" in refused.line
    )
    at(kfp, second, "FAILED")
    assert call("retry", run.run_id, "--host", kfp.url).code == 0
    *_, third = kfp.runs.values()
    at(kfp, third, "RUNNING")
    refused = call("retry", second.run_id, "--host", kfp.url)
    assert (refused.code, third.display_name in refused.line) == (2, True)


def test_a_run_whose_retry_has_succeeded_is_not_retried_again(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    assert call("retry", run.run_id, "--host", kfp.url).code == 0
    *_, second = kfp.runs.values()
    at(kfp, second, "SUCCEEDED")
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, len(kfp.runs)) == (2, 2)
    assert f"{second.display_name} has already resumed it, and has succeeded" in refused.line
    assert f"`nashflow wait {second.run_id} --host {kfp.url}`" in refused.line


def test_retry_waits_if_that_is_wanted(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    kfp.script = [Snapshot("RUNNING"), Snapshot("SUCCEEDED")]
    done = call("retry", run.run_id, "--wait", "--host", kfp.url)
    assert (done.code, "succeeded in" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("SUCCEEDED", "succeeded; there is nothing to resume"),
        ("RUNNING", "is running; wait for its end, or `nashflow cancel` it"),
        ("PENDING", "is pending; wait for its end"),
    ],
)
def test_what_is_not_retried(submit: Call, call: Call, kfp: KfpServer, state: str, words: str) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, state)
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, words in refused.line, len(kfp.runs)) == (2, True, 1)


def test_a_run_that_is_being_cancelled_is_retried_after_its_end(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    kfp.script = []
    at(kfp, run, "CANCELING")
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, len(kfp.runs)) == (2, 1)
    assert refused.line == f"nashflow: {run.display_name}: is being cancelled; wait for its end"


def test_a_run_whose_pipeline_is_deleted_is_to_be_submitted_again(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    kfp.pipelines.clear()
    kfp.versions.clear()
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, len(kfp.runs)) == (2, 1)
    assert refused.line == (
        f"nashflow: {run.display_name}: its pipeline is deleted: submit the recipe again with --run-root {ROOT}, "
        "where finished work is found again"
    )


def test_a_run_of_something_else_is_not_retried(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    run.runtime_config = None
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, "was not submitted by nashflow" in refused.line) == (2, True)
