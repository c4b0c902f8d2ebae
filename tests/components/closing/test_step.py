"""The closing step: how a run ended, in its store, in the tracker and by its lock."""

import json
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.runtime.ledger import Ledger
from nashflow.components.storage import generations, layout, outcome, waits
from nashflow.components.storage.run import read_run
from tests.fixtures.runs import SandboxRun, recipe, snapshot

FAILURE = {"state": "FAILED", "error": {"code": 9, "message": "task training-001-main failed"}}
STOPPED = "Kubeflow was not told of its end: it was cancelled, or one of its tasks could not be started"


def close(run: SandboxRun, status: dict[str, Any] | None, **flags: str) -> int:
    said = json.dumps(status) if status else ""
    result = run.step("closing", **{"job_id": "job-1", "status": said, **flags})
    assert (result.manifest, result.artifacts, result.parameters) == (None, {}, {}), "an exit task has no outputs"
    return int(result.metrics["succeeded"])


def became(run: SandboxRun) -> tuple[str, str, str]:
    """What the run root says became of the run: the word, the reason, the job."""
    said = outcome.read(run.store)
    assert said is not None
    return said.outcome, said.reason, said.job


@pytest.fixture(autouse=True)
def held(prepared: SandboxRun) -> None:
    lock.release(prepared.store, lock.held_by(prepared.store)[0])
    lock.acquire(prepared.store, "job-1", job="job-1")


WORDS = {
    "COMPLETE": ("succeeded", ""),
    "CACHED": ("succeeded", ""),
    "SUCCEEDED": ("succeeded", ""),
    "SUCCESS": ("succeeded", ""),
    "FAILED": ("failed", ""),
    "CANCELED": ("cancelled", ""),
    "NEW": ("failed", STOPPED),
    "RUNNING": ("failed", STOPPED),
}


@pytest.mark.parametrize("state", WORDS)
def test_what_became_of_the_run_in_our_words(state: str, prepared: SandboxRun) -> None:
    assert close(prepared, {"state": state, "error": {}}) == int(WORDS[state][0] == "succeeded")
    assert became(prepared) == (*WORDS[state], "job-1")
    assert lock.held_by(prepared.store) == ("", "")


@pytest.mark.parametrize("error", [FAILURE["error"], "task training-001-main failed"])
def test_a_run_that_failed_says_what_kfp_says(error: Any, prepared: SandboxRun) -> None:
    close(prepared, {"state": "FAILED", "error": error})
    assert became(prepared) == ("failed", "task training-001-main failed", "job-1")


def test_the_outcome_is_a_json_object_of_five_fields(prepared: SandboxRun) -> None:
    close(prepared, {"state": "COMPLETE"})
    said = json.loads(prepared.store.read(layout.OUTCOME))
    ended = said.pop("ended")
    assert said == {"outcome": "succeeded", "reason": "", "job": "job-1", "warning": ""}
    assert isinstance(ended, float)
    assert ended > 1.7e9


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
    assert became(prepared)[2] == "job-1"


def test_a_run_that_goes_on_is_not_touched_by_the_closing_of_the_one_before(prepared: SandboxRun) -> None:
    """Cancelled, say, and retried: both have the same owner."""
    lock.acquire(prepared.store, "job-1", job="job-2")
    before = snapshot(prepared.root)
    close(prepared, FAILURE)
    assert snapshot(prepared.root) == before
    close(prepared, {"state": "SUCCEEDED"}, job_id="job-2", takes_over="job-1")
    assert (became(prepared)[2], lock.held_by(prepared.store)) == ("job-2", ("", ""))


@pytest.mark.parametrize("state", ["COMPLETE", "FAILED", "CANCELED"])
def test_a_run_that_was_never_prepared_leaves_nothing_but_its_lock_free(state: str, tmp_path: Path) -> None:
    empty = SandboxRun(str(tmp_path / "empty"), recipe())
    close(empty, {"state": state})
    assert read_run(empty.store) is None
    assert not Path(empty.root).exists() or snapshot(empty.root) == {}
    lock.acquire(empty.store, "job-1", job="job-1")
    close(empty, {"state": state})
    assert lock.held_by(empty.store) == ("", "")
    assert [key for key in empty.store.list() if not key.startswith("lock/")] == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "RUNNING"])
def test_prompts_are_left_to_others_under_the_name_that_run_json_has(state: str, prepared: SandboxRun) -> None:
    """The name may be a parameter's, not the recipe's: closing is given neither."""
    data = json.loads(prepared.store.read(layout.RUN)) | {"name": "weekly"}
    prepared.store.write(layout.RUN, json.dumps(data).encode())
    for name in ("weekly", "small"):
        assert Ledger(prepared.store, name).take(["one", "two"])
    close(prepared, {"state": state})
    others = prepared.store.at("..")
    kept = {name: generations.newest(others, f"ledgers/{name}") for name in ("weekly", "small")}
    failed = {name: json.loads(newest.data)["failed"] for name, newest in kept.items() if newest}
    assert failed == {"weekly": [prepared.root], "small": []}


def test_a_run_that_succeeded_keeps_its_prompts(prepared: SandboxRun) -> None:
    assert Ledger(prepared.store, "small").take(["one"])
    close(prepared, {"state": "COMPLETE"})
    assert Ledger(prepared.store.at("../another"), "small").free(["one", "two"]) == {"two"}


def test_a_run_that_waits_is_pending_and_keeps_its_prompts(prepared: SandboxRun) -> None:
    assert Ledger(prepared.store, "small").take(["one"])
    waits.note(prepared.store, "judging-001-main-00000", "for people", "job-1")
    waits.note(prepared.store, "judging-001-main-00001", "for others", "job-1")
    waits.note(prepared.store, "judging-002-main-00000", "long ago", "job-0")
    close(prepared, FAILURE)
    assert became(prepared) == ("pending", "for people; 1 more tasks wait likewise", "job-1")
    assert lock.held_by(prepared.store) == ("", "")
    assert Ledger(prepared.store.at("../another"), "small").free(["one", "two"]) == {"two"}


def test_a_run_that_has_waited_before_succeeds_or_fails_as_any(prepared: SandboxRun) -> None:
    waits.note(prepared.store, "judging-001-main-00000", "for people", "job-1")
    close(prepared, {"state": "COMPLETE"})
    assert became(prepared)[0] == "succeeded"
    waits.forget(prepared.store, "judging-001-main-00000")
    lock.acquire(prepared.store, "job-1", job="job-1")
    close(prepared, FAILURE)
    assert became(prepared)[0] == "failed"
