"""Runs and models are found again by what people and programs know of them."""

from typing import Any

import pytest

from nashflow.components.storage.store import open_store
from nashflow.components.tracking.finding import find_models, find_run, find_runs
from nashflow.components.tracking.tracker import Made, Tracker
from tests.fixtures.tracking import FINISHED, measured, nested, opened


@pytest.fixture
def three(client: Any, tmp_path: Any) -> dict[str, str]:
    """Ids of three runs by their η; each has a nested run, a figure and two policies."""
    made = {}
    for number, eta in enumerate(("0.1", "0.5", "1.0")):
        store = open_store(str(tmp_path / f"run {eta}"))
        tracking = opened(store, {"method.eta": eta}, tags={"nashflow.recipe": "quickstart"})
        tracker = Tracker(tracking, store)
        tracker.begin(1, "main/rollout")
        for iteration in (1, 0):
            tracker.checkpoint(Made(iteration, "main", f"w{iteration}", f"f{iteration}", f"/policies/{iteration}"))
        measured(tracker, 1, {"win_rate": 0.5 + number / 10}, FINISHED)
        made[eta] = tracking.parent
    return made


def test_all_runs_of_their_own_are_found_newest_first(client: Any, three: dict[str, str], tmp_path: Any) -> None:
    found = list(find_runs(client))
    assert {run.id for run in found} == {*three.values()}
    assert [run.began for run in found] == sorted((run.began for run in found), reverse=True)
    roots = {run.run_root for run in find_runs(client, f"tags.`nashflow.run_root` = '{tmp_path}/run 0.5'")}
    assert roots == {f"{tmp_path}/run 0.5"}
    assert {run.recipe for run in found} == {"quickstart"}


def test_a_search_string_of_mlflows_chooses_among_them(client: Any, three: dict[str, str]) -> None:
    wanted = "metrics.win_rate > 0.55 AND params.`method.eta` != '1.0'"
    (found,) = find_runs(client, wanted)
    assert (found.id, found.parameters["method.eta"], found.metrics["win_rate"]) == (three["0.5"], "0.5", 0.6)
    assert list(find_runs(client, "metrics.win_rate > 1")) == []


def test_another_runs_names_say_what_differs(client: Any, three: dict[str, str]) -> None:
    assert sorted(run.name for run in find_runs(client)) == ["a run", "a run eta=0.5", "a run eta=1.0"]


def test_a_nested_run_leads_to_its_own_and_others_to_nothing(
    client: Any, three: dict[str, str], local_store: Any
) -> None:
    tracking = opened(local_store)
    Tracker(tracking, local_store).begin(1, "main/rollout")
    below = nested(client, tracking)["1/main/rollout"].info.run_id
    for run_id in (below, tracking.parent):
        found = find_run(client, run_id)
        assert found is not None
        assert found.id == tracking.parent
    somebodys = client.create_run(tracking.experiment)
    assert find_run(client, somebodys.info.run_id) is None
    assert find_run(client, "0" * 32) is None


def test_the_models_of_a_run_by_iteration(client: Any, three: dict[str, str]) -> None:
    run = find_run(client, three["0.5"])
    assert run is not None
    said = [
        (model.iteration, model.policy, model.weights, model.digest, model.uri) for model in find_models(client, run)
    ]
    assert said == [(t, "main", f"w{t}", f"f{t}", f"/policies/{t}") for t in (0, 1)]
    assert [model.name for model in find_models(client, run)] == ["000 a run eta=0_5", "001 a run eta=0_5"]
