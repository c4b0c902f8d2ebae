"""A schedule fired twice: the compiled graph, run for two jobs, each with a run root of its own."""

from pathlib import Path

import pytest

from nashflow.components.storage import outcome
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import open_store
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.local import Event, execute
from nashflow.pipelines.recipe import Recipe, load_recipe
from nashflow.pipelines.run import _PRELOAD
from tests.fixtures import cli
from tests.fixtures.folders import over
from tests.fixtures.runs import recipe


def fire(package: Path, folder: Path, job: str) -> list[str]:
    """The steps of one firing, as they ended: the same graph and arguments, and the job's id, which KFP fills in."""
    ended: list[Event] = []
    fired = folder / f"{job}.yaml"
    fired.write_text(package.read_text().replace("{{$.pipeline_job_uuid}}", job))
    arguments = {"run_root": str(folder / "runs/{job}"), "only_new_prompts": True}
    execute(fired, arguments, folder / job, _PRELOAD, {"OMP_NUM_THREADS": "1"}, ended.append)
    assert {event.state for event in ended} - {"started", "working"} == {"succeeded"}
    return [event.records[-1]["step"] for event in ended if event.state == "succeeded"]


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def compiled(recipe: Recipe, folder: Path) -> Path:
    package = folder / "p.yaml"
    compile_graph(recipe, package)
    return package


@pytest.mark.runs
def test_the_sandbox_always_has_new_prompts(tmp_path: Path) -> None:
    sets = (*cli.SMALL, "run.iterations=1", "prompts.held_out=4", "training.epochs=1")
    package = compiled(load_recipe("quickstart", sets), tmp_path)
    for job in ("monday", "tuesday"):
        assert {"preparation", "rollout", "training", "reporting", "closing"} <= set(fire(package, tmp_path, job))


@pytest.mark.runs
def test_the_second_firing_finds_no_new_prompts_and_ends_green(folders: Path, tmp_path: Path) -> None:
    package = compiled(recipe(over(folders) | {"run.iterations": 1, "rollout.max_new_tokens": 4}), tmp_path)
    first = fire(package, tmp_path, "monday")
    assert {"preparation", "rollout", "training", "reporting", "closing"} <= set(first)
    assert fire(package, tmp_path, "tuesday") == ["preparation", "closing"]
    monday, tuesday = (open_store(str(tmp_path / "runs" / job)) for job in ("monday", "tuesday"))
    assert [bool(run and run.inputs) for run in (read_run(monday), read_run(tuesday))] == [True, False]
    ended = outcome.read(tuesday)
    assert ended is not None
    assert (ended.outcome, ended.job) == ("skipped", "tuesday")
    assert ended.reason.startswith("0 of 40 prompts are new to runs named small, and prompts.held_out = 8")
    assert fire(package, tmp_path, "monday")[-1] == "closing", "the first firing's own run root goes on with its own"
