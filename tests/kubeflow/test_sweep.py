"""`nashflow sweep --submit` on a Kubeflow: the runs of a grid, found again by the same command, and which is best."""

import json
from pathlib import Path

import pytest

from ..fixtures.cli import SMALL
from ..fixtures.seaweedfs import SeaweedFS
from .pods.sandbox import missing
from .site import site

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_a_grid_is_submitted_once_and_judged_when_it_is_finished(
    tmp_path: Path, seaweedfs_server: SeaweedFS, empty_mlflow: Path
) -> None:
    if why := missing():
        pytest.skip(f"pods need mount namespaces of their own: {why}")
    with site(tmp_path, seaweedfs_server, empty_mlflow) as place:
        recipe, root = place.recipe("tried"), f"s3://{place.bucket}/sweep"
        asked = ("sweep", recipe, "--grid", "method.eta=0.1,1", "--submit", "--run-root", root, "--json")
        sets = (*SMALL, "run.iterations=1", "training.epochs=2")
        begun = place.nashflow(*asked, sets=sets, tracked=True)
        assert begun.stdout.strip() == "{}"
        assert "0 of 2 runs are finished" in begun.stderr
        runs = list(place.kubeflow.server.runs.values())
        assert len({run.display_name for run in runs}) == 2
        for run in runs:
            place.nashflow("wait", run.run_id)
        ended = place.nashflow(*asked, sets=sets, tracked=True)
        assert len(place.kubeflow.server.runs) == 2, "the same command starts nothing twice"
        found = json.loads(ended.stdout)
        assert [each["values"] for each in found["runs"]] == [{"method.eta": "0.1"}, {"method.eta": "1"}]
        assert [each["run_root"].rpartition("/")[2] for each in found["runs"]] == ["method.eta=0.1", "method.eta=1"]
        assert found["best"]["win_rate"] in ({"method.eta": "0.1"}, {"method.eta": "1"})
        (behind,) = (
            each["figures"]["win_rate"]["behind"] for each in found["runs"] if len(each["figures"]["win_rate"]) == 3
        )
        assert behind["interval"][0] <= behind["value"] <= behind["interval"][1]
        from mlflow import MlflowClient

        tracker = MlflowClient(place.tracking)
        (experiment,) = (each for each in tracker.search_experiments() if each.name == "nashflow")
        tracked = tracker.search_runs([experiment.experiment_id], max_results=100)
        (above,) = (run for run in tracked if run.info.run_name == "tried sweep")
        assert above.info.status == "FINISHED"
        below = [run for run in tracked if run.data.tags.get("mlflow.parentRunId") == above.info.run_id]
        assert {run.info.run_name for run in below} == {"tried sweep method.eta=0.1", "tried sweep method.eta=1"}
