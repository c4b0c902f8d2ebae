"""A schedule fired twice: the compiled graph, run for two jobs, each with a run root of its own."""

from pathlib import Path

import pytest

from nashflow.components.shared.run import read_run
from nashflow.components.shared.store import open_store
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.local import Event, execute
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.run import _PRELOAD
from tests.fixtures import cli


def fire(package: Path, folder: Path, job: str) -> list[str]:
    """The steps of one firing, as they ended: the same graph and arguments, and the job's id, which KFP fills in."""
    ended: list[Event] = []
    fired = folder / f"{job}.yaml"
    fired.write_text(package.read_text().replace("{{$.pipeline_job_uuid}}", job))
    arguments = {"run_root": str(folder / "runs/{job}"), "only_new_prompts": "true"}
    execute(fired, arguments, folder / job, _PRELOAD, {"OMP_NUM_THREADS": "1"}, ended.append)
    assert {event.state for event in ended if event.state != "started"} == {"succeeded"}
    return [event.records[-1]["step"] for event in ended if event.state == "succeeded"]


def test_the_second_firing_finds_no_new_prompts_and_ends_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    package = tmp_path / "p.yaml"
    sets = (*cli.SMALL, "run.iterations=1", "prompts.held_out=4", "training.epochs=1")
    compile_graph(load_recipe("quickstart", sets), package)
    first = fire(package, tmp_path, "monday")
    assert {"preparation", "rollout", "training", "reporting", "closing"} <= set(first)
    assert fire(package, tmp_path, "tuesday") == ["preparation", "closing"]
    monday, tuesday = (open_store(str(tmp_path / "runs" / job)) for job in ("monday", "tuesday"))
    assert read_run(monday) is not None
    assert read_run(tuesday) is None
    assert fire(package, tmp_path, "monday")[-1] == "closing", "the first firing's own run root goes on with its own"
