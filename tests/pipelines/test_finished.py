"""A finished run is confirmed where nothing is to do, and where anything is it is not."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.preparation.step import check
from nashflow.components.storage import layout, outcome
from nashflow.components.storage.units import read_manifest
from nashflow.pipelines.finished import finished_tasks
from tests.fixtures.runs import SandboxRun, snapshot


def confirmed(run: SandboxRun, **changes: Any) -> list[dict[str, Any]] | None:
    recipe = run.changed(**changes).recipe
    return finished_tasks(recipe, run.store, check(recipe, run.store))


@pytest.fixture
def ended(finished: SandboxRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxRun:
    """A run of two iterations that has ended, with its report; MLflow is an SQLite file that nobody opens."""
    mlflow = tmp_path / "mlflow.db"
    mlflow.touch()
    data = json.loads(finished.store.read(layout.RUN))
    data["tracking"] = {"uri": f"sqlite:///{mlflow}", "experiment": "1", "parent": "abc"}
    finished.store.write(layout.RUN, json.dumps(data).encode())
    finished.step("reporting", 2)
    outcome.write(finished.store, "succeeded", "", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow}")
    return finished


def test_every_task_of_the_iterations_is_found_finished_and_nothing_is_written(ended: SandboxRun) -> None:
    before = snapshot(ended.root)
    lines = confirmed(ended) or []
    assert [(line["iteration"], line["step"]) for line in lines if line["phase"] in ("", "main")] == [
        (0, "evaluation"),
        *((t, step) for t in (1, 2) for step in ("rollout", "judging", "logprobs", "training", "evaluation")),
        (2, "reporting"),
    ]
    assert all(line["skipped"] for line in lines)
    assert lines[1]["metrics"]["responses"] == 192
    assert snapshot(ended.root) == before


UNITS = (
    layout.held_out(),
    layout.prompts(2, 0),
    layout.policy(0, "main"),
    layout.shard(1, "main", "pairs", 0),
    layout.policy(2, "main"),
    "report/report",
)


@pytest.mark.parametrize("unit", UNITS)
def test_a_file_that_is_gone_is_made_anew(ended: SandboxRun, unit: str) -> None:
    manifest = read_manifest(ended.store, unit)
    assert manifest
    ended.store.delete(next(iter(manifest.files.values())).key)
    assert confirmed(ended) is None


def test_a_manifest_that_is_gone_is_made_anew(ended: SandboxRun) -> None:
    ended.store.delete(f"{layout.shard(1, 'main', 'logprobs', 0)}.manifest.json")
    assert confirmed(ended) is None


@pytest.mark.parametrize("unit", [layout.shard(1, "main", "rollouts", 0), layout.policy(1, "main")])
def test_a_damaged_file_is_named_and_not_confirmed(ended: SandboxRun, unit: str) -> None:
    key = next(iter(ended.manifest(unit).files.values())).key
    ended.store.write(key, b"#" + ended.store.read(key)[1:])
    with pytest.raises(UserError, match=ended.store.location(key)):
        confirmed(ended)


@pytest.mark.parametrize("step", ["rollout", "judging", "logprobs", "training", "preparation"])
def test_a_step_of_another_version_works_again(ended: SandboxRun, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"nashflow.components.{step}.step")
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert confirmed(ended) is None


@pytest.mark.parametrize("changes", [{"evaluation__samples": 2}, {"run__iterations": 3}])
def test_other_settings_or_more_iterations_are_work(ended: SandboxRun, changes: dict[str, Any]) -> None:
    assert confirmed(ended, **changes) is None


def away(run: SandboxRun, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")


def deleted(run: SandboxRun, patch: pytest.MonkeyPatch) -> None:
    (Path(run.root).parents[1] / "mlflow.db").unlink()


def failed(run: SandboxRun, patch: pytest.MonkeyPatch) -> None:
    outcome.write(run.store, "failed", "a step", "")


def untold(run: SandboxRun, patch: pytest.MonkeyPatch) -> None:
    outcome.write(run.store, "succeeded", "", "", "not sent to MLflow")


@pytest.mark.parametrize("end", [away, deleted, failed, untold])
def test_an_end_that_is_not_recorded_or_not_here_is_told_again(
    ended: SandboxRun, end: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    end(ended, monkeypatch)
    assert confirmed(ended) is None


def test_fewer_iterations_than_there_are_is_refused(ended: SandboxRun) -> None:
    with pytest.raises(UserError, match=r"has 2 iterations already, more than run.iterations = 1: nothing is changed"):
        confirmed(ended, run__iterations=1)
