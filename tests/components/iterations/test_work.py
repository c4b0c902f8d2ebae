"""What the tracker shows of steps while they work: each is there once it has begun, and over when its last shard is."""

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.storage.run import require_run
from nashflow.components.tracking.opening import Tracking
from tests.fixtures.runs import SandboxRun
from tests.fixtures.tracking import every_run, nested, statuses


@pytest.fixture
def client(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return MlflowClient(uri)


def tracking_of(run: SandboxRun) -> Tracking:
    return Tracking.from_json(require_run(run.store).tracking or {})


def test_runs_of_steps_come_and_end_with_their_work(client: Any, prepare: Any) -> None:
    run = prepare({"prompts.shards": 2})
    tracking = tracking_of(run)
    assert len(every_run(client)) == 1
    run.step("evaluation")
    run.step("rollout", 1, shard=1)
    run.step("judging", 1, shard=1)
    reference = {"0": "FINISHED", "0/evaluation": "FINISHED"}
    at_work = {"1": "RUNNING", "1/main/rollout": "RUNNING", "1/main/judging": "RUNNING"}
    assert statuses(client, tracking) == reference | at_work
    assert run.step("rollout", 1, shard=1).skipped
    assert statuses(client, tracking) == reference | at_work
    last = run.step("rollout", 1, shard=0).manifest
    assert statuses(client, tracking) == reference | at_work | {"1/main/rollout": "FINISHED"}
    assert nested(client, tracking)["1/main/rollout"].info.end_time == last.finished
    assert run.step("rollout", 1, shard=0).skipped
    assert statuses(client, tracking)["1/main/rollout"] == "FINISHED"
    run.iterate(1)
    assert set(statuses(client, tracking).values()) == {"FINISHED"}
    assert len(nested(client, tracking)) == 2 + 1 + 5


def test_each_step_runs_within_its_iteration(client: Any, prepare: Any) -> None:
    run = prepare({"run.iterations": 1})
    run.step("evaluation")
    run.iterate(1)
    there = {place: run.info for place, run in nested(client, tracking_of(run)).items()}
    assert all(info.start_time <= info.end_time for info in there.values())
    for place, info in there.items():
        iteration = there[place.partition("/")[0]]
        assert iteration.start_time <= info.start_time <= info.end_time <= iteration.end_time
    order = ["rollout", "judging", "logprobs", "training"]
    steps = [there[f"1/main/{step}"] for step in order] + [there["1/evaluation"]]
    assert all(one.end_time <= other.start_time for one, other in itertools.pairwise(steps))


def test_steps_of_which_mlflow_heard_nothing_get_their_true_times(
    client: Any, prepare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare({"run.iterations": 1})
    with monkeypatch.context() as away:
        away.delenv("MLFLOW_TRACKING_URI")
        run.step("evaluation")
        run.iterate(1)
    assert run.step("evaluation", 1).skipped
    there = nested(client, tracking_of(run))
    trained = run.manifest("policies/001/main")
    assert there["1/main/training"].info.start_time == trained.began
    assert there["1/main/training"].info.end_time == trained.finished
    assert set(statuses(client, tracking_of(run)).values()) == {"FINISHED"}


def test_no_step_fails_where_mlflow_has_gone(
    client: Any, prepare: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = prepare()
    os.unlink(tmp_path / "mlflow.db")
    run.data(1, ("rollout", "judging"))
    (first, second) = capfd.readouterr().err.splitlines()
    assert first == second
    assert first.startswith("warning: not sent to MLflow: unable to open database file; ")
    assert f" MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db nashflow report {run.root}" in first
