"""DeepSpeed in two pods of a TrainJob trains as in two processes of one pod."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.fixtures.runs import SandboxRun, remove

from .conftest import TrainerServer

pytestmark = pytest.mark.engines

UNIT = "policies/002/main"


def trained(run: SandboxRun, environment: dict[str, str], **launcher: object) -> dict[str, list[float]]:
    """The curves of the second training by a launcher."""
    remove(run, UNIT)
    changed = run.changed(
        training__launcher=launcher, training__engine={"kind": "deepspeed", "precision": "float32", "zero": 2}
    )
    flags = {"run-root": run.root, "iteration": "2", "phase": "main", "recipe": changed.recipe.model_dump_json()}
    command = [sys.executable, "-m", "nashflow.components.training", *(f"--{key}={flags[key]}" for key in flags)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["skipped"] is False
    return run.manifest(UNIT).curves


def test_two_nodes_train_as_two_processes_of_one(
    finished: SandboxRun, environment: dict[str, str], server: TrainerServer
) -> None:
    nodes = trained(finished, environment, kind="trainjob", nodes=2, processes=1)
    (body,) = server.trainer.bodies
    assert (body["spec"]["trainer"]["numNodes"], body["spec"]["trainer"]["numProcPerNode"]) == (2, 1)
    processes = trained(finished, environment, kind="torchrun", processes=2)
    assert nodes.keys() == processes.keys()
    for name, values in nodes.items():
        np.testing.assert_array_equal(values, processes[name], err_msg=name)
