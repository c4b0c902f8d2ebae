"""Closing an iteration: what the tracker is told."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.iterations import tracked
from nashflow.components.iterations.tracked import by_step, combined
from nashflow.components.iterations.units import Shape
from nashflow.components.storage import layout
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Manifest
from nashflow.components.tracking.tracker import Tracker
from tests.fixtures.runs import SandboxRun, remove
from tests.fixtures.tracking import every_run

NAME, MODEL = "small inpo eta=0.5 seed=0", "small inpo eta=0_5 seed=0"


def manifest(**metrics: Any) -> Manifest:
    return Manifest("unit", 1, "f", "s", {}, {}, metrics, 1.0, 0)


def test_figures_of_shards_add_up_or_are_averaged() -> None:
    shards = [manifest(pairs=3, mean_length=2.0), manifest(pairs=5, mean_length=3.0)]
    assert combined(shards) == {"pairs": 8, "mean_length": 2.5}
    assert combined(shards[:1]) == {"pairs": 3, "mean_length": 2.0}


def test_the_oracles_conduct_is_that_of_all_shards_together() -> None:
    shards = [
        manifest(oracle_calls=8, abstentions=0, position_decides=2, of_unequal_length=0, longer_preferred=0),
        manifest(oracle_calls=2, abstentions=2, position_decides=0, of_unequal_length=4, longer_preferred=3),
    ]
    figures = combined(shards)
    assert (figures["position_share"], figures["length_preference"], figures["abstention_share"]) == (0.25, 0.75, 0.2)


def test_the_oracles_costs_add_up() -> None:
    shards = [manifest(usage_cost=0.25, mean_length=2.0), manifest(usage_cost=0.5, mean_length=3.0), manifest()]
    assert combined(shards) == {"usage_cost": 0.75, "mean_length": 2.5}


def test_figures_of_steps_sort_by_step_and_phase_with_seconds_and_costs_beside_them() -> None:
    steps = {
        "main/judging": [manifest(pairs=3, usage_cost=0.25), manifest(pairs=5, usage_cost=0.5)],
        "half/training": [manifest(loss=0.5)],
        "main/training": [manifest(loss=0.25)],
        "evaluation": [manifest(win_rate=0.6, usage_cost=1.0)],
        "vllm/evaluation": [manifest(length=9.0)],
    }
    assert by_step(steps) == {
        "judging/pairs": 8,
        "judging/usage_cost": 0.75,
        "training/half/loss": 0.5,
        "training/loss": 0.25,
        "seconds/judging": 2.0,
        "seconds/training": 2.0,
        "seconds/evaluation": 2.0,
        "seconds/total": 6.0,
        "cost/judging": 0.75,
        "cost/evaluation": 1.0,
        "cost/total": 1.75,
    }


@pytest.fixture
def client(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an empty MLflow store."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def test_a_closed_iteration_is_whole_in_the_tracker(client: Any, finished: SandboxRun) -> None:
    """Closed twice, as after a kill between measuring and closing: every figure is there once."""
    finished.step("preparation")
    for _ in range(2):
        for iteration in range(3):
            remove(finished, layout.tracked_iteration(iteration))
            assert finished.step("evaluation", iteration).skipped
    (experiment,) = client.search_experiments(filter_string="name = 'nashflow'")
    runs = {run.info.run_name: run for run in every_run(client)}
    assert [run.info.run_name for run in client.search_runs([experiment.experiment_id])] == [NAME]
    steps = {f"2/main/{step}" for step in ("rollout", "judging", "logprobs", "training")} | {"2/evaluation"}
    assert {NAME, "iteration 0", "iteration 1", "iteration 2", "0/evaluation"} | steps <= runs.keys()
    assert {runs[name].info.status for name in steps} == {"FINISHED"}
    assert runs["2/main/judging"].data.metrics["pairs"] == 96
    training = finished.manifest("policies/002/main")
    assert runs["2/main/training"].data.metrics["loss"] == pytest.approx(training.metrics["loss"])
    models = client.search_logged_models([experiment.experiment_id])
    for name, kind in (("win_rate", "head_to_head"), ("duality_gap", "game")):
        history = client.get_metric_history(runs[NAME].info.run_id, f"eval/{name}")
        expected = [
            (iteration, finished.manifest(f"{iteration:03d}/evaluation/{kind}/00000").metrics[name])
            for iteration in range(3)
        ]
        assert sorted((point.step, point.value) for point in history) == expected
        shown = {(m.name, p.step, p.value) for m in models for p in m.metrics or () if p.key == f"eval/{name}"}
        assert shown == {(f"{iteration:03d} {MODEL}", iteration, value) for iteration, value in expected}
    assert {model.name: model.tags["nashflow.weights"] for model in models} == {
        f"{iteration:03d} {MODEL}": finished.manifest(f"policies/{iteration:03d}/main").weights_digest
        for iteration in range(3)
    }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iterations that the tracker has been told of."""
    iterations: list[int] = []
    send = tracked.send_iteration

    def spy(tracker: Tracker, store: Store, shape: Shape, iteration: int) -> None:
        iterations.append(iteration)
        send(tracker, store, shape, iteration)

    monkeypatch.setattr(tracked, "send_iteration", spy)
    return iterations


def test_the_tracker_is_told_once_and_again_when_anything_has_changed(
    client: Any, finished: SandboxRun, told: list[int]
) -> None:
    finished.step("preparation")
    assert told == [0, 1, 2], "preparation sends what is finished"
    for _ in range(2):
        assert finished.step("evaluation", 2).skipped
    assert told == [0, 1, 2]
    finished.changed(evaluation__tau=0.3).step("evaluation", 2)
    assert told == [0, 1, 2, 2]
    (run,) = [run for run in every_run(client) if run.info.run_name == "iteration 2"]
    gap = finished.manifest(layout.evaluation(2, "game")).metrics["duality_gap"]
    assert run.data.metrics["eval/duality_gap"] == gap


def test_where_mlflow_is_away_the_next_that_comes_tells_it(
    client: Any, finished: SandboxRun, told: list[int], tmp_path: Path
) -> None:
    finished.step("preparation")
    for iteration in (1, 2):
        remove(finished, layout.tracked_iteration(iteration))
    told.clear()
    here, elsewhere = tmp_path / "mlflow.db", tmp_path / "elsewhere.db"
    here.rename(elsewhere)
    for iteration in (1, 2):
        assert finished.step("evaluation", iteration).skipped
        assert not finished.store.exists(f"{layout.tracked_iteration(iteration)}.manifest.json")
    elsewhere.rename(here)
    told.clear()
    for _ in range(2):
        assert finished.step("evaluation", 2).skipped
    assert told == [1, 2]
    assert "iteration 2" in {run.info.run_name for run in every_run(client)}


def test_a_run_without_a_tracker_tells_nobody(finished: SandboxRun, told: list[int]) -> None:
    assert finished.step("evaluation", 2).skipped
    assert told == []
    assert [key for key in finished.store.list("iterations") if "/tracked" in key] == []


def test_an_iteration_whose_steps_are_not_done_cannot_be_closed(client: Any, finished: SandboxRun) -> None:
    finished.step("preparation")
    remove(finished, "iterations/002/main/logprobs/00000")
    with pytest.raises(UserError, match="main/logprobs/00000: not there yet"):
        finished.step("evaluation", 2)
