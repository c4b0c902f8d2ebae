import json
import math
import os
import re
import shlex
import socketserver
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.data import get_source

from nashflow.components.storage.store import open_store
from nashflow.components.tracking.tracker import Dataset, Made, Tracker
from tests.fixtures.tracking import (
    BEGAN,
    FINISHED,
    RECIPE,
    NamedStore,
    every_run,
    free_port,
    measured,
    nested,
    opened,
    points,
    reported,
)


def test_more_outputs_than_a_batch_takes(client, local_store, capfd):
    tracking = opened(local_store)
    outputs = {f"shard {i}": "abc" for i in range(250)}
    reported(Tracker(tracking, local_store), outputs=outputs)
    tags = nested(client, tracking)["1/main/rollout"].data.tags
    assert {name.removeprefix("nashflow.output.") for name in tags if "output" in name} == set(outputs)
    assert capfd.readouterr().err == ""


def test_a_step_reports_and_ends_its_run(client, local_store):
    tracking = opened(local_store)
    reported(Tracker(tracking, local_store), 1, "main/rollout", {"tokens": 128, "rate": 0.5}, {"rollouts": "abc"})
    run = nested(client, tracking)["1/main/rollout"]
    assert run.data.metrics == {"tokens": 128.0, "rate": 0.5, "seconds": 2.5}
    assert run.data.tags["nashflow.output.rollouts"] == "abc"
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", BEGAN, FINISHED)
    assert points(client, run.info.run_id, "tokens") == [(1, 128.0, FINISHED)]


def test_reporting_twice_adds_nothing(client, local_store):
    tracking = opened(local_store)
    for _ in range(2):
        tracker = Tracker(tracking, local_store)
        reported(tracker, metrics={"rate": 0.1 + 0.2})
        measured(tracker, 1, {"gap": 1 / 3}, FINISHED + 1)
    assert points(client, nested(client, tracking)["1/main/rollout"].info.run_id, "rate") == [(1, 0.1 + 0.2, FINISHED)]
    for run in (tracking.parent, nested(client, tracking)["1"].info.run_id):
        assert points(client, run, "gap") == [(1, 1 / 3, FINISHED + 1)]


def test_the_same_value_at_another_time_is_no_news_but_another_value_is(client, local_store):
    tracking = opened(local_store)
    for value, finished in ((0.5, 1), (0.5, 2), (0.6, 3), (0.5, 4)):
        measured(Tracker(tracking, local_store), 1, {"gap": value}, finished)
    assert sorted(points(client, tracking.parent, "gap"), key=lambda p: p[2]) == [(1, 0.5, 1), (1, 0.6, 3), (1, 0.5, 4)]
    assert client.get_run(tracking.parent).data.metrics == {"gap": 0.5}


def test_an_iteration_that_was_missed_is_mended_later(client, local_store):
    tracking = opened(local_store)
    gaps = [0.3, 0.1, 0.1]
    for iteration in (0, 2, 1, 0, 2, 1):
        measured(Tracker(tracking, local_store), iteration, {"gap": gaps[iteration]}, FINISHED + iteration)
    assert sorted(points(client, tracking.parent, "gap")) == [(i, gaps[i], FINISHED + i) for i in range(3)]
    assert nested(client, tracking)["2"].info.status == "FINISHED"
    assert client.get_run(tracking.parent).info.status == "RUNNING"


def test_only_finite_numbers_are_sent(client, local_store):
    tracking = opened(local_store)
    metrics = {"nan": math.nan, "inf": -math.inf, "none": None, "text": "x", "list": [1], "fine": 1}
    measured(Tracker(tracking, local_store), 1, metrics, FINISHED)
    assert client.get_run(tracking.parent).data.metrics == {"fine": 1.0}


def test_a_name_that_mlflow_refuses_costs_nothing(client, local_store, capfd):
    tracking = opened(local_store)
    measured(Tracker(tracking, local_store), 1, {"win rate@τ=1": 0.5, "other": 1.0}, FINISHED)
    assert client.get_run(tracking.parent).data.metrics == {"win rate___1": 0.5, "other": 1.0}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("uri", ["s3://bucket/run/iterations/001/pairs.parquet", "/data/pairs.parquet"])
def test_datasets_carry_digest_and_source_and_are_not_copied(client, local_store, uri, tmp_path):
    tracking = opened(local_store)
    digest = "ab" * 32
    for _ in range(2):
        Tracker(tracking, local_store).datasets(1, [Dataset("pairs-001", digest, uri, 4096, "training")])
    (found,) = client.get_run(nested(client, tracking)["1"].info.run_id).inputs.dataset_inputs
    assert get_source(found.dataset).uri == uri
    assert digest.startswith(found.dataset.digest)
    assert json.loads(found.dataset.profile) == {"num_rows": 4096, "digest": digest}
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]
    assert not (tmp_path / "mlartifacts").exists()


def test_a_checkpoint_is_one_model_that_points_elsewhere(client, local_store, tmp_path):
    tracking = opened(local_store)
    tracker = Tracker(tracking, local_store)
    made = Made(1, "main", "d1", "f1", "s3://bucket/run/policies/001/main")
    model = tracker.checkpoint(made)
    measured(tracker, 1, {"gap": 0.05}, FINISHED, model)
    assert Tracker(tracking, local_store).checkpoint(made) == model
    (found,) = client.search_logged_models([tracking.experiment])
    assert (found.model_id, found.name, found.status.value) == (model, "001 a run", "READY")
    assert found.source_run_id == tracking.parent
    assert found.tags["nashflow.weights"] == "d1"
    assert found.tags["nashflow.uri"] == "s3://bucket/run/policies/001/main"
    assert [(metric.key, metric.value, metric.step) for metric in found.metrics] == [("gap", 0.05, 1)]
    for run in (tracking.parent, nested(client, tracking)["1"].info.run_id):
        assert [(out.model_id, out.step) for out in client.get_run(run).outputs.model_outputs] == [(model, 1)]
    assert not (tmp_path / "mlartifacts").exists()


def test_other_weights_or_another_run_make_another_model(client, tmp_path):
    first, second = (open_store(str(tmp_path / name)) for name in ("first", "second"))
    made = [
        Tracker(opened(store), store).checkpoint(Made(1, "main", weights, "f1", "s3://bucket/weights"))
        for store, weights in ((first, "d1"), (first, "d2"), (second, "d1"))
    ]
    assert len(set(made)) == 3


def test_a_checkpoint_can_be_registered(client, local_store):
    model = Tracker(opened(local_store), local_store).checkpoint(Made(1, "main", "d1", "f1", "s3://bucket/policy"))
    client.create_registered_model("policy")
    version = client.create_model_version("policy", "s3://bucket/policy", model_id=model)
    assert (version.version, version.status) == (1, "READY")


def test_the_report_is_kept_once(client, local_store, tmp_path):
    tracking = opened(local_store)
    for _ in range(2):
        Tracker(tracking, local_store).report({"summary.json": b"{}", "pictures/figure.png": b"\x89PNG"})
    assert sorted(file.path for file in client.list_artifacts(tracking.parent, "report")) == [
        "report/pictures",
        "report/summary.json",
    ]
    kept = Path(client.download_artifacts(tracking.parent, "report/pictures/figure.png", str(tmp_path)))
    assert kept.read_bytes() == b"\x89PNG"
    assert (tmp_path / "mlartifacts").is_dir()
    assert list((tmp_path / "here").iterdir()) == []


def task_run(client: MlflowClient, below: bool) -> tuple[str, str]:
    """What KFP's plugin makes: a run for the KFP run, one for a loop in it, one for the task."""
    experiment = client.create_experiment("KFP-Default")
    above = client.create_run(experiment, run_name="kfp run").info.run_id
    if not below:
        return above, above
    loop = client.create_run(experiment, tags={"mlflow.parentRunId": above}).info.run_id
    return above, client.create_run(experiment, tags={"mlflow.parentRunId": loop}).info.run_id


@pytest.mark.parametrize("below", [True, False])
def test_inside_kfps_plugin_its_runs_are_used_and_none_is_made(client, local_store, surroundings, below):
    parent, task = task_run(client, below)
    surroundings.setenv("MLFLOW_RUN_ID", task)
    before = len(every_run(client))
    for _ in range(2):
        tracking = opened(local_store, tags={"team": "blue"})
        tracker = Tracker(tracking, local_store)
        assert not tracker.nests
        reported(tracker, metrics={"tokens": 128}, outputs={"rollouts": "abc"})
        tracker.datasets(1, [Dataset("pairs-001", "d", "s3://bucket/pairs", 1, "training")])
        model = tracker.checkpoint(Made(1, "main", "d1", "f1", "s3://bucket/policy"))
        measured(tracker, 1, {"gap": 0.1}, FINISHED, model)
        tracker.report({"summary.json": b"{}"})
        tracker.close("failed", "because")
    assert tracking.parent == parent
    assert len(every_run(client)) == before
    run = client.get_run(task)
    assert run.data.metrics == {"main/rollout/tokens": 128.0, "main/rollout/seconds": 2.5, "gap": 0.1}
    assert len(run.inputs.dataset_inputs) == len(client.search_logged_models([tracking.experiment])) == 1
    for target in (parent, task):
        assert client.get_run(target).data.params == RECIPE
        assert client.get_run(target).info.status == "RUNNING"
        assert points(client, target, "gap") == [(1, 0.1, FINISHED)]
    tags = client.get_run(parent).data.tags
    assert (tags["team"], tags["nashflow.outcome"], tags["nashflow.reason"]) == ("blue", "failed", "because")
    assert [file.path for file in client.list_artifacts(parent, "report")] == ["report/summary.json"]


def test_runs_of_our_own_are_not_used_inside_kfps_plugin_nor_the_other_way_round(client, local_store, surroundings):
    own = opened(local_store)
    parent, task = task_run(client, below=True)
    surroundings.setenv("MLFLOW_RUN_ID", task)
    theirs = opened(local_store, known=own)
    measured(Tracker(own, local_store), 1, {"gap": 0.1}, FINISHED)
    assert client.get_run(own.parent).data.metrics == {}
    assert client.get_run(parent).data.metrics == {"gap": 0.1}
    surroundings.delenv("MLFLOW_RUN_ID")
    assert opened(local_store, known=theirs).parent not in (parent, task)


WITHOUT_MLFLOW = """
import sys
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.tracker import Dataset, Made, Tracker
from nashflow.components.tracking.opening import Tracking, open_run
known, store = Tracking("sqlite:////nowhere", "1", "2"), open_store("run")
assert open_run(store, "a run", {}) is None
assert open_run(store, "a run", {}, known) is known
for tracker in (Tracker(None, store), Tracker(known, store), Tracker.of(store)):
    assert not tracker.nests
    tracker.begin(1, "main/rollout")
    tracker.end(1, "main/rollout", 1)
    tracker.step(1, "main/rollout", {"a": 1}, 1.0, 0, 1)
    tracker.iteration(1, [({"a": 1}, None)], {}, 1)
    tracker.datasets(1, [Dataset("a", "b", "c", 1, "training")])
    assert tracker.checkpoint(Made(1, "main", "d", "e", "/policies/001/main")) is None
    tracker.report({"summary.json": b"{}"})
    tracker.close("succeeded")
assert "mlflow" not in sys.modules and "sqlalchemy" not in sys.modules
"""


def test_without_mlflow_nothing_happens(surroundings, tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_MLFLOW], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "here").iterdir()) == []


IN_ANOTHER_PROCESS = """
import json, sys
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.tracker import Tracker
from nashflow.components.tracking.opening import Tracking
tracker = Tracker(Tracking.from_json(json.loads(sys.argv[1])), open_store(sys.argv[2]))
for iteration in range(1, 6):
    tracker.step(iteration, sys.argv[3], {f"metric{i}": i / iteration for i in range(10)}, 1.0, 0, iteration)
"""


def test_two_processes_use_one_sqlite_store_at_once(client, local_store):
    tracking = opened(local_store)
    call = [sys.executable, "-c", IN_ANOTHER_PROCESS, json.dumps(tracking.to_json()), local_store.uri]
    steps = ("main/rollout", "half/rollout")
    processes = [subprocess.Popen([*call, step], stderr=subprocess.PIPE, text=True) for step in steps]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    runs = [run for place, run in nested(client, tracking).items() if "rollout" in place]
    assert len(runs) == 10
    assert all(len(run.data.metrics) == 11 and run.info.status == "FINISHED" for run in runs)


def test_an_outage_costs_one_line_and_the_next_time_mends_it(client, local_store, surroundings, capfd):
    tracking = opened(local_store)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    surroundings.setenv("MLFLOW_TRACKING_URI", f"http://joe:hunter2@127.0.0.1:{free_port()}")
    tracker = Tracker(tracking, local_store)
    tracker.begin(1, "main/rollout")
    reported(tracker)
    measured(tracker, 1, {"gap": 0.1}, FINISHED)
    assert tracker.checkpoint(Made(1, "main", "d1", "f1", "/policies/001/main")) is None
    tracker.report({"summary.json": b"{}"})
    tracker.close("succeeded")
    where = os.environ["MLFLOW_TRACKING_URI"].replace("joe:hunter2@", "")
    later = f"later steps send it, and so does MLFLOW_TRACKING_URI={where} nashflow report {local_store.uri}"
    line = f"warning: not sent to MLflow: [Errno 111] Connection refused; nothing is lost: {later}\n"
    assert capfd.readouterr() == ("", line)
    surroundings.setenv("MLFLOW_TRACKING_URI", uri)
    measured(Tracker(tracking, local_store), 1, {"gap": 0.1}, FINISHED)
    assert points(client, tracking.parent, "gap") == [(1, 0.1, FINISHED)]


@pytest.mark.parametrize(
    "tell", [lambda tracker: tracker.begin(1, "main/rollout"), lambda tracker: measured(tracker, 1, {"gap": 1.0}, 1)]
)
def test_a_server_that_hangs_up_is_asked_once(client, local_store, surroundings, capfd, tell):
    tracking, asked = opened(local_store), []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self):
            asked.append(self.request.recv(1))

    surroundings.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    with socketserver.TCPServer(("127.0.0.1", 0), HangUp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        surroundings.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_address[1]}")
        tell(Tracker(tracking, local_store))
        server.shutdown()
    assert len(asked) == 1
    assert capfd.readouterr().err.count("warning: not sent to MLflow: ") == 1


def test_a_store_that_is_gone_is_not_made_anew_by_a_step(client, local_store, capfd, tmp_path):
    tracking = opened(local_store)
    (tmp_path / "mlflow.db").unlink()
    measured(Tracker(tracking, local_store), 1, {"gap": 0.1}, FINISHED)
    assert capfd.readouterr().err.count("\n") == 1
    assert not (tmp_path / "mlflow.db").exists()


def test_a_run_deleted_meanwhile_does_not_stop_a_step(client, local_store, capfd):
    tracking = opened(local_store)
    client.delete_run(tracking.parent)
    measured(Tracker(tracking, local_store), 1, {"gap": 0.1}, FINISHED)
    assert capfd.readouterr().err.startswith("warning: not sent to MLflow: The run ")


def test_the_command_that_sends_it_later_can_be_copied_to_a_shell(client, tmp_path, capfd, surroundings):
    store = open_store(str(tmp_path / "a [b] $c"))
    tracking = opened(store)
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/not here/mlflow.db")
    measured(Tracker(tracking, store), 1, {"gap": 0.1}, FINISHED)
    command = capfd.readouterr().err.partition("so does ")[2]
    uri = f"MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/not here/mlflow.db"
    assert shlex.split(command) == [uri, "nashflow", "report", store.uri]


def test_no_secret_reaches_the_store(client, tmp_path):
    secrets = {
        "judging.api_key": "hunter2-a",
        "judging.endpoint": "https://joe:hunter2-b@host/v1?api_key=hunter2-c",
        "cluster.panel": '[{"name": "x", "password": "hunter2-d"}]',
        "HF_TOKEN": "hunter2-e",
    }
    store = NamedStore(tmp_path / "run", "s3://joe:hunter2-f@bucket/run")
    tracking = opened(store, {**secrets, "rollout.max_tokens": "64"}, tags=secrets)
    opened(store, {key: f"{value}2" for key, value in secrets.items()}, tracking)
    tracker = Tracker(tracking, store)
    reported(tracker, outputs={"rollouts": "https://joe:hunter2-g@host/x"})
    tracker.datasets(1, [Dataset("pairs", "d", "https://host/x?X-Amz-Signature=hunter2-h", 1, "training")])
    tracker.checkpoint(Made(1, "main", "d1", "f1", "https://joe:hunter2-i@host/x"))
    tracker.close("failed", "no answer from https://joe:hunter2-k@host/x")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        written = "\n".join(database.iterdump())
    assert re.findall(r"hunter2.{2}", written) == []
    assert client.get_run(tracking.parent).data.params["rollout.max_tokens"] == "64"
    assert client.get_run(tracking.parent).data.params["judging.api_key"] == "[redacted]"
    assert "https://host/v1?api_key=[redacted]" in written


def test_a_whole_run_on_a_tracking_server_that_dies_at_the_end(server, local_store, capfd, tmp_path):
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    tracking = opened(local_store)
    for _ in range(2):
        tracking = opened(local_store, known=tracking)
        tracker = Tracker(tracking, local_store)
        for iteration in (1, 2):
            tracker.begin(iteration, "main/rollout")
            tracker.end(iteration, "main/rollout", FINISHED)
            reported(tracker, iteration, metrics={"tokens": 128}, outputs={"rollouts": "abc"})
            tracker.datasets(iteration, [Dataset("pairs", f"d{iteration}", "s3://bucket/pairs", 1, "training")])
            model = tracker.checkpoint(Made(iteration, "main", f"d{iteration}", "f1", "s3://bucket/policy"))
            measured(tracker, iteration, {"gap": 0.1 * iteration}, FINISHED + iteration, model)
        tracker.report({"summary.json": b"{}"})
        tracker.close("succeeded")
    assert len(every_run(client)) == 1 + 2 + 2
    assert sorted(points(client, tracking.parent, "gap")) == [(1, 0.1, FINISHED + 1), (2, 0.2, FINISHED + 2)]
    models = client.search_logged_models([tracking.experiment])
    assert sorted(found.name for found in models) == ["001 a run", "002 a run"]
    assert {found.name: [(m.key, m.value) for m in found.metrics] for found in models}["002 a run"] == [("gap", 0.2)]
    assert len(client.get_run(nested(client, tracking)["2"].info.run_id).inputs.dataset_inputs) == 1
    assert {run.info.status for run in every_run(client)} == {"FINISHED"}
    assert [file.path for file in client.list_artifacts(tracking.parent, "report")] == ["report/summary.json"]
    assert list((tmp_path / "here").iterdir()) == []
    assert capfd.readouterr() == ("", "")
    server.stop()
    measured(tracker, 2, {"gap": 0.3}, FINISHED)
    assert f"MLFLOW_TRACKING_URI={server.uri} nashflow report" in capfd.readouterr().err
