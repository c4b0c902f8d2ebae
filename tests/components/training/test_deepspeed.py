"""DeepSpeed trains as torch does, in any number of processes, and goes on after a kill where it was."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from nashflow.components.storage.units import Manifest
from tests.fixtures.runs import SandboxRun, remove

pytestmark = pytest.mark.engines
UNIT, CHECKPOINTS = "policies/002/main", "iterations/002/main/training"
ROUNDING = 1e-4
"""How far curves may be apart, of themselves or of 1: sums over passes and ranks are taken in another order. Measured
after 12 updates in float32: 4e-6 of losses and norms."""
OUTER = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
OUTER |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": "1", "PET_NNODES": "2"}
SAVED = {"accuracy_saved", "h_saved", "loss_saved"}
EXACT = {"kind": "deepspeed", "precision": "float32"}


def run_of(finished: SandboxRun, processes: int, engine: dict[str, Any] | None = None, **training: Any) -> SandboxRun:
    """The run with its second training to be done, of 12 updates, by so many processes."""
    remove(finished, UNIT)
    launcher = {"kind": "torchrun", "processes": processes} if processes else "process"
    settings = {**finished.recipe.training.model_dump(mode="json"), "launcher": launcher, **training}
    return finished.changed(training={**settings, "engine": engine or EXACT})


def command(run: SandboxRun) -> list[str]:
    flags = {"run-root": run.root, "iteration": "2", "phase": "main", "recipe": run.recipe.model_dump_json()}
    return [sys.executable, "-m", "nashflow.components.training", *(f"--{key}={flags[key]}" for key in flags)]


def trained(run: SandboxRun) -> Manifest:
    done = subprocess.run(command(run), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["skipped"] is False
    assert run.store.list(CHECKPOINTS) == []
    return run.manifest(UNIT)


def assert_alike(one: Manifest, other: Manifest) -> None:
    assert one.curves.keys() == other.curves.keys()
    for name, values in one.curves.items():
        np.testing.assert_allclose(values, other.curves[name], rtol=ROUNDING, atol=ROUNDING, err_msg=name)


def learnt(manifest: Manifest) -> tuple[Any, ...]:
    """What a training has come to, but for how fast it was."""
    return manifest.curves, manifest.weights_digest


@pytest.mark.parametrize(
    ("processes", "engine"),
    [
        (0, {"zero": 0, "gradient_checkpointing": True}),
        (0, {"zero": 2, "offload": "optimizer"}),
        (2, {"zero": 0}),
        (2, {"zero": 2}),
        (2, {"zero": 3, "gradient_checkpointing": True}),
        (3, {"zero": 3, "offload": "parameters"}),
    ],
)
def test_every_stage_trains_as_torch_does(
    finished: SandboxRun,
    finished_root: SandboxRun,
    processes: int,
    engine: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the step itself is one of the processes of a torchrun, too, or of a job that speaks as torchrun does."""
    for name, value in OUTER.items():
        monkeypatch.setenv(name, value)
    assert_alike(trained(run_of(finished, processes, EXACT | engine)), finished_root.manifest(UNIT))


def test_lora_and_its_figures_and_masters_are_those_of_torch(finished: SandboxRun) -> None:
    """The next training starts from float32 weights, of which most are frozen; the policy is those rounded."""
    small = {"adapter": {"kind": "lora", "rank": 4}, "learning_rate": 1e-4, "save_dtype": "bfloat16", "epochs": 1}
    remove(finished, "policies/001/main")
    first = run_of(finished, 0, {"kind": "torch"}, **small)
    first.step("training", 1)
    first.data(2)
    alike = trained(first)
    exact = masters(first)
    found = trained(run_of(first, 2, EXACT | {"zero": 3}, **small))
    assert_alike(found, alike)
    assert {name for name in alike.metrics if name.endswith("_saved")} == SAVED
    for name in SAVED:
        assert found.metrics[name] == pytest.approx(alike.metrics[name], abs=ROUNDING), name
    assert masters(first).keys() == exact.keys()
    for name, tensor in masters(first).items():
        np.testing.assert_allclose(tensor, exact[name], rtol=0, atol=1e-6, err_msg=name)


def masters(run: SandboxRun) -> dict[str, np.ndarray]:
    """The weights in float32 of the second policy."""
    return load_file(Path(run.root, run.manifest("masters/002/main").files["model.safetensors"].key))


def children(process: psutil.Process) -> list[psutil.Process]:
    """The ranks of a step, in their order."""
    found = {each.environ().get("RANK"): each for each in process.children() if "RANK" in each.environ()}
    return [found[rank] for rank in sorted(found)]


def struck(run: SandboxRun, number: int, ranks: Sequence[int]) -> tuple[int, str]:
    """Train until there is a checkpoint, and send a signal to ranks, or to the step itself; its exit code and line."""
    process = subprocess.Popen(command(run), stderr=subprocess.PIPE, text=True)
    step = psutil.Process(process.pid)
    while not any(key.endswith(".json") for key in run.store.list(CHECKPOINTS)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    alive = children(step)
    for target in [alive[rank] for rank in ranks] or [step]:
        target.send_signal(number)
    line = process.communicate()[1].strip().splitlines()
    psutil.wait_procs(alive)
    return process.returncode, line[-1] if line else ""


@pytest.mark.parametrize("again", [2, 1])
def test_a_killed_rank_ends_the_others_and_the_same_command_goes_on(finished: SandboxRun, again: int) -> None:
    """With the same losses bit by bit, or, in another number of processes, but for rounding."""
    whole = trained(run_of(finished, 2, checkpoint_updates=1, epochs=20))
    code, line = struck(run_of(finished, 2, checkpoint_updates=1, epochs=20), signal.SIGKILL, [1])
    assert code == 75
    assert line == (
        "training: process 1 of the training was ended by SIGKILL (often: the memory is full); run the same command "
        "again"
    )
    assert finished.store.list(CHECKPOINTS)
    resumed = trained(run_of(finished, again, checkpoint_updates=1, epochs=20))
    if again == 2:
        assert learnt(resumed) == learnt(whole)
    else:
        assert_alike(resumed, whole)


def test_sigterm_leaves_a_whole_checkpoint_and_a_killed_step_no_process(finished: SandboxRun) -> None:
    run = run_of(finished, 2, checkpoint_updates=1, epochs=20)
    whole = trained(run)
    code, _ = struck(run_of(finished, 2, checkpoint_updates=1, epochs=20), signal.SIGTERM, [])
    assert code == 143
    told = [key for key in run.store.list(CHECKPOINTS) if key.endswith(".json")]
    assert len(told) >= 2
    code, _ = struck(run, signal.SIGKILL, [])
    assert code == -signal.SIGKILL
    assert learnt(trained(run)) == learnt(whole)


def test_in_bfloat16_stages_agree_and_start_from_the_float32_weights_of_the_policy(finished: SandboxRun) -> None:
    """The weights that AdamW moves: updates of a tiny rate leave each of them where it was."""
    engines = ({"kind": "deepspeed", "zero": 2}, {"kind": "deepspeed", "zero": 3, "offload": "parameters"})
    cached = finished.changed(
        logprobs={"dtype": "bfloat16"},
        training={**finished.recipe.training.model_dump(mode="json"), "engine": engines[0]},
    )
    cached.data(2, ("logprobs",))
    assert_alike(*(trained(run_of(cached, 2, engine)) for engine in engines))
    still = trained(run_of(cached, 0, engines[0], learning_rate=1e-30))
    assert still.weights_digest == finished.manifest("policies/001/main").weights_digest
