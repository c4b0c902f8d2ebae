"""What MLflow shows of whole runs: one that it was away from, one that was stopped."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.opening import Tracking
from tests.fixtures import cli
from tests.fixtures.mlflow_store import Server
from tests.fixtures.tracking import points, statuses

SETS = (*cli.SMALL, "run.iterations=1", "training.epochs=1")
STEPS = {"0", "0/evaluation", "1", "1/evaluation"} | {
    f"1/main/{step}" for step in ("rollout", "judging", "logprobs", "training")
}


def tracking_of(root: Path) -> Tracking:
    return Tracking.from_json(require_run(open_store(str(root))).tracking or {})


def started(root: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        cli.command("run", "quickstart", "--run-root", str(root), sets=SETS),
        env=cli.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.runs
def test_a_run_that_mlflow_was_away_from_is_sent_as_the_warning_says(tmp_path: Path, mlflow_server: Server) -> None:
    root = tmp_path / "run"
    variables = {"MLFLOW_TRACKING_URI": mlflow_server.uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = started(root, **variables)
    prepared = root / f"{layout.PREPARATION}.manifest.json"
    cli.wait_for(lambda: process.poll() is not None or prepared.exists())
    mlflow_server.stop()
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr
    unsent = "nashflow: warning: not sent to MLflow: "
    (warning,) = (line for line in set(stderr.splitlines()) if line.startswith(unsent))
    assert warning.startswith(f"{unsent}[Errno 111] Connection refused; ")
    assert len(set(stderr.splitlines())) == stderr.count("\n"), "each warning once"
    mlflow_server.start()
    environment = cli.environment(PATH=f"{Path(cli.COMMAND[0]).parent}:{os.environ['PATH']}")
    del environment["MLFLOW_TRACKING_URI"]
    for _ in range(2):
        command = warning.rpartition("so does ")[2]
        done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
    client, tracking = MlflowClient(mlflow_server.uri), tracking_of(root)
    there = statuses(client, tracking)
    assert (there.keys(), set(there.values())) == (STEPS, {"FINISHED"})
    parent = client.get_run(tracking.parent)
    assert (parent.info.status, parent.data.tags["nashflow.outcome"]) == ("FINISHED", "succeeded")
    gaps = [row["duality_gap"] for row in cli.summary(root)["iterations"]]
    assert sorted((step, value) for step, value, _ in points(client, parent.info.run_id, "duality_gap")) == [
        *enumerate(gaps)
    ]
    assert len(client.search_logged_models([tracking.experiment])) == 2
    kept = {artifact.path for artifact in client.list_artifacts(parent.info.run_id, "report")}
    names = ("benchmarks.html", "benchmarks.json", "figure.png", "report.html", "summary.json")
    assert kept == {f"report/{name}" for name in names}


@pytest.mark.runs
def test_a_run_that_is_stopped_and_goes_on(tmp_path: Path, empty_mlflow: Path) -> None:
    root = tmp_path / "run"
    client = MlflowClient(f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}")
    process = started(root, MLFLOW_TRACKING_URI="")
    cli.wait_for(lambda: process.poll() is not None or list(root.glob("tracking/*/1/main/rollout.id")))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert stderr.splitlines()[-1] == "nashflow: stopped by SIGINT; the same command resumes it"
    tracking = tracking_of(root)
    stopped = client.get_run(tracking.parent)
    assert stopped.info.status == "KILLED"
    assert stopped.data.tags["nashflow.outcome"] == "cancelled"
    assert stopped.data.tags["nashflow.reason"] == "stopped by SIGINT"
    there = statuses(client, tracking)
    assert (there["0/evaluation"], there["1"]) == ("FINISHED", "KILLED")
    assert set(there.values()) == {"FINISHED", "KILLED"}
    cli.call("run", "quickstart", "--run-root", str(root), sets=SETS, MLFLOW_TRACKING_URI="")
    there = statuses(client, tracking)
    assert (there.keys(), set(there.values())) == (STEPS, {"FINISHED"})
    ended = client.get_run(tracking.parent)
    assert (ended.info.status, ended.data.tags["nashflow.outcome"]) == ("FINISHED", "succeeded")
    assert "nashflow.reason" not in ended.data.tags
