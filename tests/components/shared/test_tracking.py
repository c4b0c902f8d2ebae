import json
import shutil
import socket

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.tracker import Tracker
from nashflow.components.shared.tracking import Tracking, open_runs
from tests.fixtures.tracking import FINISHED, RECIPE, STEPS, STEPS_OF_TWO, every_run, opened


def below(client: MlflowClient, run_id: str, experiment: str) -> dict[str, Run]:
    """The nested runs right below a run, as MLflow's own page finds them, by name."""
    found = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{run_id}'")
    return {run.info.run_name: run for run in found}


def test_runs_nest_by_iteration_and_step(client):
    tracking = opened()
    assert client.get_run(tracking.parent).info.run_name == "a run"
    iterations = below(client, tracking.parent, tracking.experiment)
    assert sorted(iterations) == ["iteration 0", "iteration 1"]
    steps = below(client, iterations["iteration 1"].info.run_id, tracking.experiment)
    assert {name: run.info.run_id for name, run in steps.items()} == {
        name: tracking.runs[name] for name in ("1/main/rollout", "1/main/training", "1/evaluation")
    }
    assert client.get_experiment(tracking.experiment).name == "nashflow"


def test_tracking_survives_json(client):
    tracking = opened()
    assert Tracking.from_json(json.loads(json.dumps(tracking.to_json()))) == tracking


def test_opening_again_finds_the_same_runs(client):
    tracking = opened()
    assert opened(known=tracking) == tracking
    assert len(every_run(client)) == 1 + 2 + 4


def test_another_iteration_adds_its_runs_alone(client):
    tracking = opened()
    longer = opened(STEPS_OF_TWO, {**RECIPE, "run.iterations": "2"}, tracking)
    assert longer.parent == tracking.parent
    assert dict(tracking.runs).items() <= dict(longer.runs).items()
    assert len(every_run(client)) == 1 + 3 + 7
    assert opened(STEPS, known=longer) == longer


def test_a_nested_run_that_was_not_made_or_was_deleted_is_made(client):
    tracking = opened()
    client.delete_run(tracking.runs["1/main/rollout"])
    again = opened(known=tracking)
    assert {place for place, run in again.runs.items() if tracking.runs[place] != run} == {"1/main/rollout"}


def test_a_killed_preparation_leaves_its_runs_to_the_next(client):
    first = opened()
    assert opened(known=None) == first


def test_runs_that_measured_something_are_not_taken_over(client):
    first = opened()
    Tracker(first).step(1, "main/rollout", {}, 1.0, FINISHED)
    assert opened(known=None).parent != first.parent


@pytest.mark.parametrize("other", [{"location": "s3://bucket/other"}, {"parameters": {**RECIPE, "method.eta": "0.1"}}])
def test_runs_of_another_root_or_recipe_are_not_taken_over(client, other):
    assert opened().parent != opened(**other).parent


@pytest.mark.parametrize(("location", "same"), [("/runs/a", False), ("s3://bucket/a", True)])
def test_one_folder_on_two_machines_is_two_run_roots(client, surroundings, location, same):
    here = opened(location=location)
    surroundings.setattr(socket, "gethostname", lambda: "elsewhere")
    assert (opened(location=location).parent == here.parent) is same


def test_ids_of_another_store_are_replaced(client, surroundings, tmp_path, empty_mlflow):
    elsewhere = opened()
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'new.db')}")
    assert opened(known=elsewhere).parent != elsewhere.parent


def test_a_deleted_parent_is_replaced(client):
    tracking = opened()
    client.delete_run(tracking.parent)
    assert opened(known=tracking).parent != tracking.parent


def test_parameters_keep_their_dotted_names_and_changes_become_tags(client):
    tracking = opened()
    assert client.get_run(tracking.parent).data.params == RECIPE
    opened(parameters={**RECIPE, "run.iterations": "2", "evaluation.tau": "0.1"}, known=tracking)
    run = client.get_run(tracking.parent)
    assert run.data.params == {**RECIPE, "evaluation.tau": "0.1"}
    assert run.data.tags["run.iterations"] == "2"
    opened(known=tracking)
    assert client.get_run(tracking.parent).data.tags["run.iterations"] == "1"


def test_more_parameters_than_a_batch_takes_and_longer_than_mlflow_keeps(client):
    recipe = {f"part.key{i}": "v" for i in range(250)} | {"empty": "", "long": "x" * 10_000}
    tracking = opened(parameters=recipe)
    assert opened(parameters=recipe, known=tracking) == tracking
    run = client.get_run(tracking.parent)
    assert run.data.params == {**recipe, "long": "x" * 6000}
    assert "long" not in run.data.tags


def test_the_experiment_is_what_mlflows_variables_say(client, surroundings):
    surroundings.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert client.get_experiment(opened().experiment).name == "mine"
    chosen = client.create_experiment("by id")
    surroundings.setenv("MLFLOW_EXPERIMENT_ID", chosen)
    assert opened().experiment == chosen


def test_a_failed_run_opens_again_and_what_is_done_stays_done(client):
    tracking = opened()
    Tracker(tracking).step(1, "main/rollout", {}, 1.0, FINISHED)
    Tracker(tracking).close("FAILED")
    assert client.get_run(tracking.parent).info.status == "FAILED"
    assert client.get_run(tracking.runs["1/main/training"]).info.status == "FAILED"
    opened(known=tracking)
    assert client.get_run(tracking.parent).info.status == "RUNNING"
    assert client.get_run(tracking.runs["1/main/training"]).info.status == "RUNNING"
    assert client.get_run(tracking.runs["1/main/rollout"]).info.status == "FINISHED"
    Tracker(tracking).close("FINISHED")
    assert client.get_run(tracking.parent).info.status == "FINISHED"


def test_a_run_id_without_a_store_is_refused(surroundings):
    surroundings.setenv("MLFLOW_RUN_ID", "0123")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
        open_runs("a run", "/runs/a", RECIPE, STEPS)
