"""What MLflow shows of a run before it works: a name that tells it apart, true settings, and what it is made from."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.core.version import VERSION
from nashflow.components.preparation.described import name_of
from nashflow.components.recipe import Recipe
from nashflow.components.storage.run import require_run
from nashflow.components.tracking.opening import Tracking
from tests.fixtures.mlflow_store import Server
from tests.fixtures.runs import SandboxRun, recipe

NEXT = {"run.iterations": 1, "run.seed": 7}


def parent_of(client: Any, run: SandboxRun) -> Any:
    return client.get_run(Tracking.from_json(require_run(run.store).tracking or {}).parent)


def recipe_named(name: str, method: str, **constants: float) -> Recipe:
    settings = recipe({"run.seed": 3}).model_dump(mode="json")
    return Recipe.parse(
        {**settings, "run": {**settings["run"], "name": name}, "method": {"name": method, **constants}}, "test"
    )


@pytest.mark.parametrize(
    ("name", "method", "constants", "expected"),
    [
        ("quickstart", "inpo", {"eta": 0.5, "tau": 0.1}, "quickstart inpo eta=0.5 seed=3"),
        ("quickstart-iterative-dpo", "iterative_dpo", {"beta": 0.5}, "quickstart-iterative-dpo beta=0.5 seed=3"),
        ("weekly", "nash_mp", {"beta": 0.2}, "weekly nash_mp beta=0.2 seed=3"),
        ("weekly", "online_ipo", {"tau": 0.2, "updates": 4}, "weekly online_ipo tau=0.2 seed=3"),
    ],
)
def test_a_name_is_the_recipes_with_method_step_size_and_seed(
    name: str, method: str, constants: dict[str, float], expected: str
) -> None:
    assert name_of(recipe_named(name, method, **constants)) == expected


def test_a_run_says_what_it_is_made_from(client: Any, prepare: Any) -> None:
    run = prepare(NEXT)
    made, known = parent_of(client, run), require_run(run.store)
    tags = made.data.tags
    assert made.info.run_name == "small inpo eta=0.5 seed=7"
    assert {name: tags[f"nashflow.input.{name}"] for name in known.inputs} == dict(known.inputs)
    assert (tags["nashflow.identity"], tags["nashflow.version"]) == (known.identity, VERSION)
    assert tags["nashflow.oracle"] == f"sandbox-{known.inputs['oracle'][:16]}"
    checkout = Path(__file__).parents[3]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True)
    assert head.returncode or tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert not [tag for tag in tags if tag.startswith(("kfp.", "nashflow.image."))], "it is on this machine"
    kept = client.download_artifacts(made.info.run_id, "recipe.yaml")
    assert yaml.safe_load(Path(kept).read_text()) == yaml.safe_load(yaml.safe_dump(dict(known.recipe)))


def test_an_extended_runs_settings_are_true(client: Any, prepare: Any) -> None:
    run = prepare(NEXT)
    before = parent_of(client, run).data
    extended = run.changed(run__iterations=10, evaluation__tau=0.3)
    extended.step("preparation")
    after = parent_of(client, extended).data
    assert after.params == before.params
    assert (before.tags["run.iterations"], after.tags["run.iterations"]) == ("1", "10")
    assert after.tags["evaluation.tau"] == "0.3"
    settings = {**after.params, **after.tags}
    assert (settings["run.seed"], settings["method.eta"]) == ("7", "0.5")
    assert not {"run.iterations", "evaluation.tau"} & after.params.keys()


def test_a_run_on_kubeflow_leads_to_its_page_and_its_images(
    client: Any, prepare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare(NEXT)
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline/")
    monkeypatch.delenv("NASHFLOW_OWNER", raising=False)
    image = "registry.example/nashflow-steps@sha256:" + "ab" * 32
    run.step("preparation", job_id="5f0c", image=image, takes_over="by hand")
    tags = parent_of(client, run).data.tags
    assert tags["kfp.pipeline_run_id"] == "5f0c"
    assert tags["kfp.pipeline_run_url"] == "https://kubeflow.example/pipeline/#/runs/details/5f0c"
    assert tags["nashflow.image.steps"] == image
    assert "nashflow.image.vllm" not in tags


def test_a_run_goes_on_though_mlflow_is_away_and_it_is_told_later(
    server: Server, prepare: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    run = prepare(NEXT)
    server.stop()
    extended = run.changed(run__iterations=2)
    capsys.readouterr()
    extended.step("preparation")
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: MLflow at {server.uri}: [Errno 111] Connection refused; the run goes on")
    server.start()
    extended.step("evaluation", 0)
    data = parent_of(MlflowClient(os.environ["MLFLOW_TRACKING_URI"]), run).data
    assert data.tags["run.iterations"] == "2"
    assert "eval/win_rate" in data.metrics
