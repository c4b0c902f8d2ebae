"""How busy a step's machine is, on the step's run, under the names by which MLflow's page shows it."""

import os
from typing import Any

import pytest

from nashflow.components.tracking.curves import Curves
from nashflow.components.tracking.tracker import Tracker
from tests.fixtures import cli
from tests.fixtures.tracking import free_port, nested, opened, points

MEMORY, CPU = "system/system_memory_usage_megabytes", "system/cpu_utilization_percentage"


def run_id(client: Any, tracking: Any) -> str:
    return str(nested(client, tracking)["1/main/training"].info.run_id)


def test_it_is_measured_while_a_step_works_and_at_its_end(
    client: Any, local_store: Any, surroundings: pytest.MonkeyPatch
) -> None:
    surroundings.setenv("NASHFLOW_CURVE_SECONDS", "0.01")
    surroundings.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    tracking = opened(local_store)
    curves = Curves(Tracker(tracking, local_store), 1, "main/training")
    cli.wait_for(lambda: "1/main/training" in nested(client, tracking))
    cli.wait_for(lambda: len(points(client, run_id(client, tracking), MEMORY)) >= 2)
    curves.close()
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    for step, used, timestamp in points(client, run_id(client, tracking), MEMORY):
        assert step == timestamp // 1000
        assert 0 < used < megabytes
    busy = [value for _, value, _ in points(client, run_id(client, tracking), CPU)]
    assert all(0 <= value <= 100 for value in busy)
    assert max(busy) > 0


def test_shards_are_told_apart_as_mlflow_tells_nodes_apart(client: Any, local_store: Any) -> None:
    tracking = opened(local_store)
    for shard in ("/00000", "/00001"):
        Curves(Tracker(tracking, local_store), 1, "main/training", shard).close()
    names = client.get_run(run_id(client, tracking)).data.metrics
    assert {name.split("/")[1] for name in names if name.startswith("system/")} == {"00000", "00001"}


def test_mlflows_own_variable_leaves_it_out(client: Any, local_store: Any, surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    tracking = opened(local_store)
    Curves(Tracker(tracking, local_store), 1, "main/training").close()
    assert nested(client, tracking) == {}


def test_what_was_measured_while_mlflow_was_away_is_kept_and_sent_once(
    client: Any, local_store: Any, surroundings: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tracking, uri = opened(local_store), os.environ["MLFLOW_TRACKING_URI"]
    surroundings.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    curves = Curves(Tracker(tracking, local_store), 1, "main/training")
    for update in (1, 2, 3):
        curves.put(update, {"loss": 1.0 / update}, {"updates": update})
    curves.close()
    assert capfd.readouterr().err.count("warning: not sent to MLflow: ") == 1
    assert local_store.list("tracking/unsent")
    surroundings.setenv("MLFLOW_TRACKING_URI", uri)
    for _ in range(2):
        assert Tracker(tracking, local_store).flush()
    assert local_store.list("tracking/unsent") == []
    found = points(client, run_id(client, tracking), "curve/loss")
    assert sorted((step, value) for step, value, _ in found) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert len(points(client, run_id(client, tracking), MEMORY)) == 1
