"""A chain of runs: the graphs that the server was sent, executed one after the other, make what one run makes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.shared import layout, lock
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.store import open_store
from nashflow.pipelines.local import Event, execute
from tests.fixtures import cli
from tests.pipelines.client.server import KfpServer

SETS = (*cli.SMALL, "run.iterations=2", "training.epochs=1", "rollout.dtype=float64", "logprobs.dtype=float64")


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    server = KfpServer()
    yield server
    server.close()


def work(kfp: KfpServer, run: Any, folder: Path) -> list[str]:
    """Do a run's work, as the cluster would; the steps that were not found finished."""
    spec = kfp.versions[run.pipeline_version_reference.pipeline_version_id].pipeline_spec
    text = yaml.safe_dump_all([spec["pipeline_spec"], spec["platform_spec"]])
    package = folder / "pipeline.yaml"
    folder.mkdir()
    package.write_text(text.replace("{{$.pipeline_job_uuid}}", run.run_id))
    ended: list[Event] = []
    environment = {"OMP_NUM_THREADS": "1", "KF_PIPELINES_ENDPOINT": kfp.url, "NO_PROXY": "127.0.0.1"}
    execute(package, run.runtime_config.parameters, folder, ("torch",), environment, ended.append)
    return [
        event.argv[2].rpartition(".")[2]
        for event in ended
        if event.state == "succeeded" and not event.records[-1]["skipped"]
    ]


def test_a_chain_of_runs_makes_what_one_run_makes(kfp: KfpServer, tmp_path: Path) -> None:
    run_root = tmp_path / "runs/chained"
    chained = (*SETS, "cluster.iterations_per_run=1", f"cluster.models={{claim: c, path: {tmp_path}}}")
    cli.call("submit", "quickstart", "--host", kfp.url, "--run-root", str(run_root), sets=chained)
    (first,) = kfp.runs.values()
    steps = work(kfp, first, tmp_path / "first")
    assert (steps[0], steps[-2:]) == ("preparation", ["continuation", "closing"])
    assert len(kfp.runs) == 2
    with pytest.raises(UserError, match=f"in use by the run {first.run_id}"):
        lock.acquire(open_store(str(run_root)), "another")
    *_, second = kfp.runs.values()
    assert work(kfp, second, tmp_path / "second").count("training") == 1
    assert len(kfp.runs) == 2
    lock.acquire(open_store(str(run_root)), "another")

    cli.call("run", "quickstart", "--run-root", str(tmp_path / "runs/whole"), sets=SETS)
    assert cli.weights(run_root) == cli.weights(tmp_path / "runs/whole")
    assert len(cli.weights(run_root)) == 3
    assert json.loads((run_root / layout.OUTCOME).read_text())["job"] == second.run_id
