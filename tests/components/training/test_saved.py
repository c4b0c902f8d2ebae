"""Policies that are saved rounded: their figures, the warning, and the float32 weights that the next training takes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nashflow.components.core.errors import UserError
from nashflow.components.fitting.order import batches
from nashflow.components.models.policies import open_policy
from nashflow.components.models.weights import weights_digest
from nashflow.components.storage.units import Manifest
from nashflow.components.training.settings import TrainingSettings
from tests.fixtures.runs import SandboxRun, logprobs, remove

SMALL_STEPS = {"save_dtype": "bfloat16", "learning_rate": 2e-5, "batch_size": 96}


def trained(run: SandboxRun, iteration: int = 1) -> Manifest:
    manifest = run.step("training", iteration).manifest
    assert manifest
    return manifest


def rounded(run: SandboxRun, **training: object) -> SandboxRun:
    """The run with steps so small that bfloat16 loses them, its first training to be done."""
    remove(run, "policies/001/main")
    return run.changed(training={**run.recipe.training.model_dump(), **SMALL_STEPS, **training})


def margins(run: SandboxRun, folder: Path, iteration: int) -> np.ndarray:
    """log π(y_w) − log π(y_l) of an iteration's pairs under the policy in a folder."""
    rows = run.content("pairs", iteration)
    sides = ([(row["prompt_ids"], row[f"{side}_ids"]) for row in rows] for side in ("chosen", "rejected"))
    chosen, rejected = (logprobs(folder, side) for side in sides)
    return chosen - rejected


def master(run: SandboxRun, policy: str = "001/main") -> Path:
    """The folder of a policy's float32 weights."""
    return Path(run.root, run.manifest(f"masters/{policy}").files["config.json"].key).parent


@pytest.fixture
def on_the_grid(finished: SandboxRun) -> SandboxRun:
    """A run whose second training starts from numbers of bfloat16, to which steps that are too small return."""
    run = rounded(finished, masters=False, learning_rate=2e-4)
    trained(run)
    run.data(2)
    return run


def second(run: SandboxRun, **training: object) -> Manifest:
    """The second training, with small steps."""
    return trained(run.changed(training={**run.recipe.training.model_dump(), **SMALL_STEPS, **training}), 2)


def test_figures_at_the_saved_weights_are_those_of_the_folder_and_a_great_loss_is_told(
    on_the_grid: SandboxRun, capfd: pytest.CaptureFixture[str]
) -> None:
    figures, run = second(on_the_grid, masters=True).metrics, on_the_grid
    measured = list(batches(96, 96, 4, run.recipe.run.seed, 2, "main"))[-1]
    base = 0.2 * margins(run, run.folder("000/main"), 2) + 0.8 * margins(run, run.folder("001/main"), 2)
    saved, exact = (margins(run, folder, 2) - base for folder in (run.folder("002/main"), master(run, "002/main")))
    assert figures["h_saved"] == pytest.approx(saved[measured].mean(), abs=1e-5)
    assert figures["h_unrounded"] == pytest.approx(exact[measured].mean(), abs=1e-5)
    assert figures["loss_saved"] == pytest.approx(((saved[measured] - 1.0) ** 2).mean(), rel=1e-4)
    assert figures["h_saved"] < 2 / 3 * figures["h_unrounded"]
    warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: iteration 2, main: the margin h is ")
    assert "set training.save_dtype and rollout.dtype to float32, or raise training.learning_rate" in warnings[0]


@pytest.mark.parametrize("change", [{"save_dtype": "float32"}, {"learning_rate": 2e-4}])
def test_the_warnings_advice_works(
    change: dict[str, object], on_the_grid: SandboxRun, capfd: pytest.CaptureFixture[str]
) -> None:
    figures = second(on_the_grid, **change).metrics
    assert "warning" not in capfd.readouterr().err
    assert figures["h_saved"] > 2 / 3 * figures.get("h_unrounded", figures["h"])


def test_the_policy_is_its_master_rounded(finished: SandboxRun) -> None:
    run = rounded(finished)
    manifest = trained(run)
    exact = load_file(master(run) / "model.safetensors")
    policy = load_file(run.folder("001/main") / "model.safetensors")
    assert {tensor.dtype for tensor in exact.values()} == {torch.float32}
    assert all(torch.equal(policy[name], tensor.bfloat16()) for name, tensor in exact.items())
    assert manifest.master == run.manifest("masters/001/main").weights_digest != manifest.weights_digest
    assert manifest.master == weights_digest(master(run))
    assert open_policy(run.store, "001/main").master == manifest.master


@pytest.mark.parametrize("masters", [True, False])
def test_the_next_training_starts_from_the_master_and_regresses_on_the_policy(
    masters: bool, finished: SandboxRun
) -> None:
    run = rounded(finished, masters=masters)
    assert bool(trained(run).master) == masters
    run.data(2)
    start = master(run) if masters else run.folder("001/main")
    expected = (
        margins(run, start, 2)
        - 0.2 * margins(run, run.folder("000/main"), 2)
        - 0.8 * margins(run, run.folder("001/main"), 2)
    )
    manifest = trained(run, 2)
    assert manifest.curves["h"][0] == pytest.approx(expected.mean(), abs=1e-5)
    assert manifest.metrics["cache_mismatch"] < 1e-4
    assert ("master" in manifest.inputs) == masters


def test_a_master_that_is_gone_is_one_line_and_its_advice_works(finished: SandboxRun) -> None:
    run = rounded(finished)
    before = trained(run)
    run.data(2)
    remove(run, "masters/001/main")
    shutil.rmtree(Path(run.root) / "masters")
    with pytest.raises(UserError) as caught:
        run.step("training", 2)
    line = str(caught.value)
    place = str(Path(run.root) / "policies/001/main.manifest.json")
    assert "its float32 weights, from which training starts, are not kept" in line
    assert f"delete {place} and run the recipe" in line
    Path(place).unlink()
    assert trained(run).master == before.master
    assert trained(run, 2).inputs["master"] == before.master


def test_masters_are_kept_where_saving_rounds_and_nowhere_else() -> None:
    cases = [("float32", None), ("float32", True), ("bfloat16", None), ("bfloat16", True), ("bfloat16", False)]
    kept = [TrainingSettings(save_dtype=dtype, masters=masters).keeps_masters for dtype, masters in cases]
    assert kept == [False, False, True, True, False]
    assert "masters" not in TrainingSettings().model_dump()
