"""The closing step: how a run ended, in its store, in the tracker and by its lock."""

import json
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.shared import layout, lock
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.run import read_run
from tests.fixtures.runs import SandboxRun, snapshot

FAILURE = {"state": "FAILED", "error": {"code": 9, "message": "task training-001-main failed"}}


def close(run: SandboxRun, status: dict[str, Any] | None, **flags: str) -> int:
    flags = {
        "job_id": "job-1",
        "owner": "",
        "continues": "false",
        "status": json.dumps(status) if status else "",
        **flags,
    }
    return int(run.step("closing", **flags).manifest.metrics["succeeded"])


def outcome(run: SandboxRun) -> dict[str, Any]:
    return dict(json.loads(run.store.read(layout.OUTCOME)))


@pytest.fixture(autouse=True)
def held(prepared: SandboxRun) -> None:
    lock.release(prepared.store, lock.held_by(prepared.store)[0])
    lock.acquire(prepared.store, "job-1", job="job-1")


@pytest.mark.parametrize("state", ["COMPLETE", "CACHED", "SUCCEEDED", "SUCCESS"])
def test_a_run_that_succeeded(state: str, prepared: SandboxRun) -> None:
    assert close(prepared, {"state": state}) == 1
    said = outcome(prepared)
    assert (said["succeeded"], said["error"], said["job"]) == (True, "", "job-1")


def test_a_run_that_failed_says_what_kfp_says(prepared: SandboxRun) -> None:
    assert close(prepared, FAILURE) == 0
    assert outcome(prepared)["error"] == "task training-001-main failed"
    assert not outcome(prepared)["succeeded"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "NEW", "RUNNING"])
def test_a_run_that_did_not_succeed(state: str, prepared: SandboxRun) -> None:
    assert close(prepared, {"state": state, "error": {}}) == 0
    said = outcome(prepared)
    assert (said["succeeded"], said["error"], lock.held_by(prepared.store)) == (False, "", ("", ""))


@pytest.mark.parametrize("status", [None, {}, {"state": "UNKNOWN"}, {"state": "complete"}, {"state": None}])
def test_an_unknown_word_is_named_and_changes_nothing(status: dict[str, Any] | None, prepared: SandboxRun) -> None:
    before = snapshot(prepared.root)
    with pytest.raises(UserError, match=f"says {(status or {}).get('state')!r} of the run; known are COMPLETE"):
        close(prepared, status)
    assert snapshot(prepared.root) == before


def test_the_lock_is_given_back_by_its_owner_alone(prepared: SandboxRun) -> None:
    close(prepared, FAILURE, job_id="job-2")
    with pytest.raises(UserError, match="in use by the run job-1"):
        lock.acquire(prepared.store, "job-3")
    close(prepared, FAILURE)
    lock.acquire(prepared.store, "job-3")


def test_a_run_that_was_refused_changes_nothing_of_the_one_at_work(prepared: SandboxRun) -> None:
    before = snapshot(prepared.root)
    assert close(prepared, FAILURE, job_id="job-2") == 0
    assert snapshot(prepared.root) == before
    close(prepared, {"state": "SUCCEEDED"})
    assert outcome(prepared)["job"] == "job-1"


def test_a_run_that_goes_on_is_not_touched_by_the_closing_of_the_one_before(prepared: SandboxRun) -> None:
    """Cancelled, say, when it had submitted the next one, which has the same owner."""
    lock.acquire(prepared.store, "job-1", job="job-2")
    before = snapshot(prepared.root)
    close(prepared, FAILURE, continues="true")
    assert snapshot(prepared.root) == before
    close(prepared, {"state": "SUCCEEDED"}, job_id="job-2", owner="job-1")
    assert (outcome(prepared)["job"], lock.held_by(prepared.store)) == ("job-2", ("", ""))


def test_the_lock_is_left_to_the_run_that_goes_on_unless_there_is_none(prepared: SandboxRun) -> None:
    close(prepared, {"state": "SUCCEEDED"}, continues="true")
    with pytest.raises(UserError, match="in use by the run job-1"):
        lock.acquire(prepared.store, "job-3")
    close(prepared, FAILURE, continues="true")
    lock.acquire(prepared.store, "job-3")


def test_a_run_that_was_never_prepared_leaves_nothing(tmp_path: Path, prepared: SandboxRun) -> None:
    empty = SandboxRun(str(tmp_path / "empty"), prepared.recipe)
    assert close(empty, FAILURE) == 0
    assert read_run(empty.store) is None
    assert not Path(empty.root).exists() or snapshot(empty.root) == {}
