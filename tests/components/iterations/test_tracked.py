"""Closing an iteration: what the tracker is told."""

from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.evaluation.iteration import combined
from nashflow.components.storage.units import Manifest
from tests.fixtures.runs import SandboxRun, remove


def manifest(**metrics: Any) -> Manifest:
    return Manifest("unit", 1, "f", "s", {}, {}, metrics, 1.0, 0)


def test_figures_of_shards_add_up_or_are_averaged() -> None:
    shards = [manifest(pairs=3, mean_length=2.0, weights="a"), manifest(pairs=5, mean_length=3.0, weights="b")]
    assert combined(shards) == {"pairs": 8, "mean_length": 2.5}
    assert combined(shards[:1]) == {"pairs": 3, "mean_length": 2.0}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an MLflow store in a new file."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_closed_iteration_is_whole_in_the_tracker(client: Any, finished: SandboxRun) -> None:
    """Closed twice, as after a kill between measuring and closing: every figure is there once."""
    finished.step("preparation")
    for _ in range(2):
        for iteration in range(3):
            assert finished.step("evaluation", iteration).skipped
    (experiment,) = client.search_experiments(filter_string="name = 'nashflow'")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    steps = {f"2/main/{step}" for step in ("rollout", "judging", "logprobs", "training")} | {"2/evaluation"}
    assert {"small", "iteration 0", "iteration 1", "iteration 2", "0/evaluation"} | steps <= runs.keys()
    assert {runs[name].info.status for name in steps} == {"FINISHED"}
    assert runs["2/main/judging"].data.metrics["pairs"] == 96
    training = finished.manifest("policies/002/main")
    assert runs["2/main/training"].data.metrics["loss"] == pytest.approx(training.metrics["loss"])
    models = client.search_logged_models([experiment.experiment_id])
    for name in ("win_rate", "duality_gap"):
        history = client.get_metric_history(runs["small"].info.run_id, name)
        expected = [
            (iteration, finished.manifest(f"{iteration:03d}/evaluation/benchmarks/00000").metrics[name])
            for iteration in range(3)
        ]
        assert sorted((point.step, point.value) for point in history) == expected
        shown = {(m.name, p.step, p.value) for m in models for p in m.metrics or () if p.key == name}
        assert shown == {(f"main-{iteration:03d}", iteration, value) for iteration, value in expected}
    assert {model.name: model.tags["nashflow.weights"] for model in models} == {
        f"main-{iteration:03d}": finished.manifest(f"policies/{iteration:03d}/main").metrics["weights"]
        for iteration in range(3)
    }


def test_an_iteration_whose_steps_are_not_done_cannot_be_closed(finished: SandboxRun) -> None:
    remove(finished, "iterations/002/main/logprobs/00000")
    with pytest.raises(UserError, match="main/logprobs/00000: not there yet"):
        finished.step("evaluation", 2)
