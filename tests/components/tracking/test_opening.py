import json
import re
import shutil
import socket

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.tracking.opening import Tracking, check_tracking, open_run
from nashflow.components.tracking.tracker import Tracker
from tests.fixtures.tracking import RECIPE, NamedStore, every_run, opened, statuses


def test_one_run_is_made_however_long_the_recipe(client, local_store):
    tracking = opened(local_store, {**RECIPE, "run.iterations": "10"})
    (run,) = every_run(client)
    assert (run.info.run_id, run.info.run_name, run.info.status) == (tracking.parent, "a run", "RUNNING")
    assert client.get_experiment(tracking.experiment).name == "nashflow"


def test_tracking_survives_json(client, local_store):
    tracking = opened(local_store)
    assert Tracking.from_json(json.loads(json.dumps(tracking.to_json()))) == tracking


def test_opening_again_finds_the_same_run(client, local_store):
    tracking = opened(local_store)
    assert opened(local_store, {**RECIPE, "run.iterations": "2"}, tracking) == tracking
    assert len(every_run(client)) == 1


def test_a_killed_preparation_leaves_its_run_to_the_next(client, local_store):
    assert opened(local_store) == opened(local_store)
    assert len(every_run(client)) == 1


def test_a_run_in_which_a_step_has_begun_is_not_taken_over(client, local_store):
    first = opened(local_store)
    Tracker(first, local_store).begin(1, "main/rollout")
    assert opened(local_store).parent != first.parent


def test_runs_of_another_root_or_recipe_are_not_taken_over(client, tmp_path):
    here, there = (NamedStore(tmp_path, uri) for uri in ("s3://bucket/run", "s3://bucket/other"))
    other_recipe = {**RECIPE, "method.eta": "0.1"}
    assert len({opened(here).parent, opened(there).parent, opened(here, other_recipe).parent}) == 3


@pytest.mark.parametrize(("uri", "same"), [("/runs/a", False), ("s3://bucket/a", True)])
def test_one_folder_on_two_machines_is_two_run_roots(client, surroundings, tmp_path, uri, same):
    store = NamedStore(tmp_path, uri)
    here = opened(store)
    surroundings.setattr(socket, "gethostname", lambda: "elsewhere")
    assert (opened(store).parent == here.parent) is same


def test_ids_of_another_store_are_replaced(client, surroundings, local_store, tmp_path, empty_mlflow):
    elsewhere = opened(local_store)
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'new.db')}")
    assert opened(local_store, known=elsewhere).parent != elsewhere.parent


def test_a_deleted_parent_is_replaced(client, local_store):
    tracking = opened(local_store)
    client.delete_run(tracking.parent)
    assert opened(local_store, known=tracking).parent != tracking.parent


def test_parameters_keep_their_dotted_names_and_changes_become_tags(client, local_store):
    tracking = opened(local_store)
    assert client.get_run(tracking.parent).data.params == RECIPE
    opened(local_store, {**RECIPE, "run.iterations": "2", "evaluation.tau": "0.1"}, tracking)
    run = client.get_run(tracking.parent)
    assert run.data.params == {**RECIPE, "evaluation.tau": "0.1"}
    assert run.data.tags["run.iterations"] == "2"
    opened(local_store, known=tracking)
    assert client.get_run(tracking.parent).data.tags["run.iterations"] == "1"


def test_more_parameters_than_a_batch_takes_and_longer_than_mlflow_keeps(client, local_store):
    recipe = {f"part.key{i}": "v" for i in range(250)} | {"empty": "", "long": "x" * 10_000}
    tracking = opened(local_store, recipe)
    assert opened(local_store, recipe, tracking) == tracking
    run = client.get_run(tracking.parent)
    assert run.data.params == {**recipe, "long": "x" * 6000}
    assert "long" not in run.data.tags


def test_the_experiment_is_what_mlflows_variables_say(client, surroundings, local_store):
    surroundings.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert client.get_experiment(opened(local_store).experiment).name == "mine"
    chosen = client.create_experiment("by id")
    surroundings.setenv("MLFLOW_EXPERIMENT_ID", chosen)
    assert opened(local_store).experiment == chosen


def test_a_deleted_experiment_is_refused_with_two_ways_out_that_work(client, surroundings, local_store):
    from click.testing import CliRunner
    from mlflow.experiments import commands

    first = opened(local_store)
    client.delete_experiment(first.experiment)
    for ask in (check_tracking, lambda: open_run(local_store, "a run", RECIPE, first)):
        with pytest.raises(UserError, match="the experiment nashflow of MLflow is deleted") as refused:
            ask()
    said = str(refused.value)
    assert said.startswith("set MLFLOW_EXPERIMENT_NAME to another name, or restore it (MLFLOW_TRACKING_URI=sqlite:///")
    with surroundings.context() as elsewhere:
        elsewhere.setenv("MLFLOW_EXPERIMENT_NAME", "another")
        assert client.get_experiment(opened(local_store, known=first).experiment).name == "another"
    command = re.search(r"\((.*?)\)", said)[1].split()
    assert command[:2] == [f"MLFLOW_TRACKING_URI={client.tracking_uri}", "mlflow"]
    assert CliRunner().invoke(commands, command[3:]).exit_code == 0
    check_tracking()
    assert opened(local_store).experiment == first.experiment


def test_an_experiment_by_id_that_is_not_there_is_refused(client, surroundings, local_store):
    surroundings.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with pytest.raises(
        UserError, match=r"^set MLFLOW_EXPERIMENT_ID to an experiment of .*, or unset it: there is no 77$"
    ):
        open_run(local_store, "a run", RECIPE)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("succeeded", "FINISHED"), ("failed", "FAILED"), ("cancelled", "KILLED"), ("skipped", "FINISHED")],
)
def test_a_run_that_has_ended_opens_again_without_its_outcome(client, local_store, outcome, status):
    tracking = opened(local_store)
    Tracker(tracking, local_store).close(outcome, "the reason")
    run = client.get_run(tracking.parent)
    assert run.info.status == status
    assert (run.data.tags["nashflow.outcome"], run.data.tags["nashflow.reason"]) == (outcome, "the reason")
    assert opened(local_store, known=tracking) == tracking
    run = client.get_run(tracking.parent)
    assert run.info.status == "RUNNING"
    assert not {"nashflow.outcome", "nashflow.reason"} & run.data.tags.keys()


def test_a_skipped_firing_is_one_run_that_is_over_at_once(client, local_store):
    reason = "3 new prompts, of which prompts.held_out takes 32"
    for _ in range(2):
        Tracker(opened(local_store), local_store).close("skipped", reason)
    (run,) = every_run(client)
    assert run.info.status == "FINISHED"
    assert (run.data.tags["nashflow.outcome"], run.data.tags["nashflow.reason"]) == ("skipped", reason)


def test_a_nested_run_that_was_deleted_is_made_again_after_the_next_preparation(client, local_store):
    tracking = opened(local_store)
    tracker = Tracker(tracking, local_store)
    tracker.begin(1, "main/rollout")
    tracker.begin(1, "main/training")
    before = {run.data.tags.get("nashflow.place"): run.info.run_id for run in every_run(client)}
    client.delete_run(before["1/main/rollout"])
    opened(local_store, known=tracking)
    Tracker(tracking, local_store).begin(1, "main/rollout")
    after = {run.data.tags.get("nashflow.place"): run.info.run_id for run in every_run(client)}
    assert {place for place in before if before[place] != after[place]} == {"1/main/rollout"}
    assert set(statuses(client, tracking).values()) == {"RUNNING"}


def test_a_run_id_without_a_store_is_refused(surroundings, local_store):
    surroundings.setenv("MLFLOW_RUN_ID", "0123")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
        open_run(local_store, "a run", RECIPE)
