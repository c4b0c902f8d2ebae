"""A training by a TrainJob from the step to the worker, whose pods are processes of this machine."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.fixtures.cli import wait_for
from tests.fixtures.runs import SandboxRun, remove

from .conftest import TrainerServer

pytestmark = pytest.mark.runs

UNIT = "policies/002/main"


@pytest.fixture
def run(finished: SandboxRun) -> SandboxRun:
    """A run whose second training is to be done by a TrainJob, long enough to be interrupted."""
    remove(finished, UNIT)
    return finished.changed(
        training__launcher={"kind": "trainjob", "nodes": 1, "processes": 1},
        training__epochs=40,
        training__checkpoint_updates=20,
    )


Start = Callable[[SandboxRun], subprocess.Popen[str]]


@pytest.fixture
def start(environment: dict[str, str]) -> Start:
    """Starts the step's program as its container does."""
    told = {**environment, "NASHFLOW_LOG_SECONDS": "1"}

    def start(run: SandboxRun) -> subprocess.Popen[str]:
        settings = json.dumps(run.recipe.model_dump(mode="json"))
        flags = [f"--run-root={run.root}", "--iteration=2", "--phase=main", f"--recipe={settings}"]
        command = [sys.executable, "-m", "nashflow.components.training", *flags]
        return subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def trained(run: SandboxRun) -> tuple[str, dict[str, list[float]]]:
    manifest = run.manifest(UNIT)
    return manifest.weights_digest, manifest.curves


def checkpointed(run: SandboxRun) -> bool:
    return bool(run.store.list("iterations/002/main/training"))


def test_interrupted_twice_it_trains_what_the_steps_own_process_trains(
    run: SandboxRun, start: Start, server: TrainerServer
) -> None:
    first = start(run)
    wait_for(lambda: checkpointed(run))
    first.kill()  # as where the machine of the step's pod is lost
    first.communicate()
    (job,) = server.trainer.jobs.values()
    assert not job.nodes[0].manifest["status"]["containerStatuses"][0]["lastState"]

    second = start(run)
    assert second.stderr
    assert any("found at work, and followed" in line for line in second.stderr)
    assert len(server.trainer.bodies) == 1
    second.send_signal(signal.SIGTERM)
    second.communicate()
    assert second.returncode == 143
    wait_for(lambda: not server.trainer.jobs)
    assert job.nodes[0].code == 143
    assert not run.store.exists(f"{UNIT}.manifest.json")

    third = start(run)
    out, told = third.communicate()
    assert third.returncode == 0, told
    assert json.loads(out.splitlines()[-1])["step"] == "training"
    assert "training, iteration 2, main: " in told.partition("made, ")[2], "the worker speaks through the step"
    assert len(server.trainer.bodies) == 2
    by_a_job = trained(run)

    remove(run, UNIT)
    alone = start(run.changed(training__launcher="process"))
    _, told = alone.communicate()
    assert alone.returncode == 0, told
    assert trained(run) == by_a_job


def test_what_the_worker_refuses_is_the_steps_own_line(run: SandboxRun, start: Start, server: TrainerServer) -> None:
    remove(run, "iterations/002/main/logprobs/00000")
    done = start(run)
    _, told = done.communicate()
    assert done.returncode == 2
    assert "logprobs" in told.strip().splitlines()[-1]
