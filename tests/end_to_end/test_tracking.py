"""What MLflow shows of whole runs: side by side, with an outage in the middle or to the end, and stopped."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.opening import Tracking
from tests.fixtures import cli
from tests.fixtures.mlflow_store import Server
from tests.fixtures.seaweedfs import SeaweedFS
from tests.fixtures.tracking import points, statuses

SETS = (*cli.SMALL, "run.iterations=1", "training.epochs=1")
STEPS = {"0", "0/evaluation", "1", "1/evaluation"} | {
    f"1/main/{step}" for step in ("rollout", "judging", "logprobs", "training")
}


def tracking_of(root: Path) -> Tracking:
    return Tracking.from_json(require_run(open_store(str(root))).tracking or {})


def started(root: Path, sets: tuple[str, ...] = SETS, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        cli.command("run", "quickstart", "--run-root", str(root), sets=sets),
        env=cli.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


THREE = {
    "inpo eta=0.5": ("quickstart", ()),
    "inpo eta=1.0": ("quickstart", ("method.eta=1",)),
    "iterative-dpo beta=0.5": ("quickstart-iterative-dpo", ()),
}
WHOLE = (*cli.SMALL, "training.epochs=1")
OF_CLOCKS = ("seconds/", "training/tokens_per_second", "training/mfu", "training/peak_gib")


def figures(client: MlflowClient, parent: str) -> dict[str, list[tuple[int, float]]]:
    """The points of each metric of a run, without those of clocks; no point is there twice."""
    found = {}
    for key in client.get_run(parent).data.metrics:
        history = [(step, value) for step, value, _ in points(client, parent, key)]
        steps = [step for step, _ in history]
        assert len(steps) == len(set(steps)), f"{key} has {sorted(history)}"
        found[key] = [] if key.startswith(OF_CLOCKS) else sorted(history)
    return found


def wait_for_iteration(process: subprocess.Popen[str], root: Path, iteration: int) -> None:
    """Until the policy of an iteration is measured."""
    measured = f"iterations/{iteration:03d}/evaluation/head_to_head/00000.manifest.json"
    cli.wait_for(lambda: process.poll() is not None or (root / measured).exists())


@pytest.mark.runs
def test_three_runs_compare_on_a_whole_server_one_of_which_it_was_away_from_for_a_third(
    tmp_path: Path, whole_server: Server, seaweedfs_server: SeaweedFS
) -> None:
    """PostgreSQL and a real S3 store; MLflow is down for the middle third of a run, whose twin it never leaves."""
    client, variables = MlflowClient(whole_server.uri), {"MLFLOW_TRACKING_URI": whole_server.uri}
    for name, (recipe, sets) in THREE.items():
        cli.call("run", recipe, "--run-root", str(tmp_path / name), sets=(*WHOLE, *sets), **variables)
    root = tmp_path / "elsewhere" / "away"  # another cache of log-probabilities than the others'
    process = started(root, WHOLE, **variables, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", NASHFLOW_CURVE_SECONDS="0.2")
    wait_for_iteration(process, root, 1)
    whole_server.stop()
    wait_for_iteration(process, root, 2)
    whole_server.start()
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert "not sent to MLflow" in stderr
    (experiment,) = (found for found in client.search_experiments() if found.name == "nashflow")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    parents = {run.data.tags["nashflow.run_root"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(parents) == {str(root), *(str(tmp_path / name) for name in THREE)}, "nested runs are elsewhere"
    for name in THREE:
        assert all(word in parents[str(tmp_path / name)].info.run_name for word in (*name.split(), "seed=0"))
    told = {folder: figures(client, run.info.run_id) for folder, run in parents.items()}
    assert told[str(root)] == told[str(tmp_path / "inpo eta=0.5")], "nothing is missing, nothing doubled"
    for folder, metrics in told.items():
        rows = cli.summary(folder)["iterations"]
        for key in ("win_rate", "duality_gap", "kl", "mean_length"):
            assert metrics[f"eval/{key}"] == [(row["iteration"], row[key]) for row in rows]
        assert metrics["judging/pairs"] == [(row["iteration"], row["pairs"]) for row in rows[1:]]
    tracking = tracking_of(root)
    assert set(statuses(client, tracking).values()) == {"FINISHED"}
    assert not list(root.glob("tracking/unsent/*"))
    models = client.search_logged_models([experiment.experiment_id], f"tags.`nashflow.parent` = '{tracking.parent}'")
    name = parents[str(root)].info.run_name.replace(".", "_")
    assert sorted(model.name for model in models) == [f"{iteration:03d} {name}" for iteration in range(4)]
    for model in models:
        shown = {metric.key: metric for metric in model.metrics or ()}
        rate = dict(told[str(root)]["eval/win_rate"])[int(model.tags["nashflow.iteration"])]
        assert (shown["eval/win_rate"].value, shown["eval/win_rate"].dataset_name) == (rate, layout.held_out())
        assert shown["eval/duality_gap"].dataset_name is None, "the game's gap is no matter of prompts"
    artifacts = {file.path for file in client.list_artifacts(tracking.parent)}
    assert artifacts == {"recipe.yaml", "report"}
    kept = client.download_artifacts(tracking.parent, "recipe.yaml", str(tmp_path))
    assert yaml.safe_load(Path(kept).read_text())["run"]["iterations"] == 3


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
    warnings = {line for line in stderr.splitlines() if line.startswith(unsent)}
    assert any(line.startswith(f"{unsent}[Errno 111] Connection refused; ") for line in warnings)
    (command,) = {line.rpartition("so does ")[2] for line in warnings}  # one step may have been cut off as it spoke
    assert len(set(stderr.splitlines())) == stderr.count("\n"), "each warning once"
    mlflow_server.start()
    environment = cli.environment(PATH=f"{Path(cli.COMMAND[0]).parent}:{os.environ['PATH']}")
    del environment["MLFLOW_TRACKING_URI"]
    for _ in range(2):
        done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
    client, tracking = MlflowClient(mlflow_server.uri), tracking_of(root)
    there = statuses(client, tracking)
    assert (there.keys(), set(there.values())) == (STEPS, {"FINISHED"})
    parent = client.get_run(tracking.parent)
    assert (parent.info.status, parent.data.tags["nashflow.outcome"]) == ("FINISHED", "succeeded")
    gaps = [row["duality_gap"] for row in cli.summary(root)["iterations"]]
    assert sorted((step, value) for step, value, _ in points(client, parent.info.run_id, "eval/duality_gap")) == [
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
