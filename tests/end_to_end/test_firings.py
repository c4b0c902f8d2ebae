"""A schedule fired again and again: the compiled graph, run for one job after the other, each with its own run root."""

from pathlib import Path

import pytest

from nashflow.components.shared import lock, outcome
from nashflow.components.shared.run import read_run
from nashflow.components.shared.store import open_store
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.local import Event, execute
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.run import _PRELOAD
from tests.fixtures import cli
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import recipe

WHOLE = [
    "preparation",
    "evaluation",
    "rollout",
    "judging",
    "logprobs",
    "training",
    "evaluation",
    "reporting",
    "closing",
]


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def fire(package: Path, folder: Path, job: str) -> list[str]:
    """The steps of one firing, as they ended: the same graph and arguments, and the job's id, which KFP fills in."""
    ended: list[Event] = []
    fired = folder / f"{job}.yaml"
    fired.write_text(package.read_text().replace("{{$.pipeline_job_uuid}}", job))
    arguments = {"run_root": str(folder / "runs/{job}"), "only_new_prompts": True}
    execute(fired, arguments, folder / job, _PRELOAD, {"OMP_NUM_THREADS": "1", "NASHFLOW_RETRIES": "0"}, ended.append)
    assert {event.state for event in ended if event.state != "started"} == {"succeeded"}
    return [event.records[-1]["step"] for event in ended if event.state == "succeeded"]


def became(folder: Path, job: str) -> str:
    """What became of a firing; its lock is given back."""
    store = open_store(str(folder / "runs" / job))
    said = outcome.read(store)
    assert said is not None
    assert (said.job, lock.held_by(store)) == (job, ("", ""))
    return said.outcome


def test_every_firing_of_a_sandbox_recipe_runs(tmp_path: Path) -> None:
    """That world makes its prompts, which are always new."""
    package = tmp_path / "p.yaml"
    sets = (*cli.SMALL, "run.iterations=1", "prompts.held_out=4", "training.epochs=1")
    compile_graph(load_recipe("quickstart", sets), package)
    for job in ("monday", "tuesday", "wednesday"):
        assert fire(package, tmp_path, job) == WHOLE
        assert became(tmp_path, job) == "succeeded"


def test_a_firing_without_new_prompts_ends_green_and_says_so(folders: Path, tmp_path: Path) -> None:
    package = tmp_path / "p.yaml"
    file = write_prompts(tmp_path / "prompts.jsonl", [f"question {index}" for index in range(8)])
    prompts = {"path": str(file), "per_iteration": 4, "held_out": 2}
    small = {"run.iterations": 1, "training.epochs": 1, "rollout.batch_size": 8}
    compile_graph(recipe(over(folders, prompts=prompts) | small), package)
    assert fire(package, tmp_path, "monday") == WHOLE
    assert fire(package, tmp_path, "tuesday") == ["preparation", "closing"]
    assert (became(tmp_path, "monday"), became(tmp_path, "tuesday")) == ("succeeded", "skipped")
    assert read_run(open_store(str(tmp_path / "runs/tuesday"))) is None
    assert fire(package, tmp_path, "monday")[-1] == "closing", "the first firing's own run root goes on with its own"
    write_prompts(file, [f"question {index}" for index in range(8, 16)])
    assert fire(package, tmp_path, "wednesday") == WHOLE
