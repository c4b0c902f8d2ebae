"""What the tracker is told of a run's end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.runtime import lock
from tests.fixtures.runs import SandboxRun


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ({"state": "COMPLETE"}, ("FINISHED", "succeeded", None)),
        ({"state": "FAILED", "error": {"message": "training failed"}}, ("FAILED", "failed", "training failed")),
    ],
)
def test_the_run_ends_with_its_outcome(
    status: dict[str, Any],
    ended: tuple[str, str, str | None],
    prepared: SandboxRun,
    tmp_path: Path,
    empty_mlflow: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    lock.release(prepared.store, lock.held_by(prepared.store)[0])
    prepared.step("preparation", job_id="job")
    prepared.step("closing", job_id="job", status=json.dumps(status))
    client = MlflowClient(uri)
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    tags = run.data.tags
    assert (run.info.status, tags["nashflow.outcome"], tags.get("nashflow.reason")) == ended
