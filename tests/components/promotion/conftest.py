"""Policies of the sandbox world at a gate: the reference, a better one, and one that only writes longer."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nashflow.components.games.preference import log_normalise
from nashflow.components.games.sandbox.reference import _fit
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.models.folders import load_causal_lm, load_tokenizer, save_policy
from nashflow.components.models.weights import weights_digest
from nashflow.components.storage import layout
from nashflow.components.storage.units import Unit
from tests.fixtures.runs import SandboxRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

ToGate = Callable[..., SandboxRun]


@pytest.fixture(scope="session")
def better(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that beats the reference: the world's, tilted towards what wins against it."""
    world = make_world(WorldSettings())
    wins = np.einsum("xij,xj->xi", world.matrix, np.exp(world.log_target))
    tilted = np.stack([log_normalise(row) for row in world.log_target + 30 * wins])
    folder = tmp_path_factory.mktemp("better") / "policy"
    reference = prepared_root.folder("000/main")
    model, tokenizer = load_causal_lm(reference), load_tokenizer(reference)
    _fit(model, tokenizer, replace(world, log_target=tilted))
    save_policy(model, reference, folder, "float32")
    return folder


@pytest.fixture(scope="session")
def longer(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference, which hardly ever ends: whatever the limit, its answers are longer."""
    import torch

    reference = prepared_root.folder("000/main")
    model, tokenizer = load_causal_lm(reference), load_tokenizer(reference)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= -1
    folder = tmp_path_factory.mktemp("longer") / "policy"
    save_policy(model, reference, folder, "float32")
    return folder


@pytest.fixture
def at_gate(client: "MlflowClient", prepare: Callable[..., SandboxRun]) -> ToGate:
    """A run of one iteration whose policy is a folder's, prepared, at the gate of the registered model `m`; nothing is
    trained. `champion=True`: its policy is the champion already."""

    def make(
        name: str, policy: Path, changes: Mapping[str, Any] | None = None, *, champion: bool = False
    ) -> SandboxRun:
        run = prepare(
            {
                "run": {"name": name, "iterations": 1},
                "prompts": {"per_iteration": 96, "held_out": 256},
                "promotion": {"model": "m", "first": "promote" if champion else "reference"},
                **(changes or {}),
            },
            name,
        )
        unit = Unit(run.store, layout.policy(1, "main"), 1, {}, {})
        unit.publish_folder(policy, {}, time.time(), weights_digest=weights_digest(policy))
        if champion:
            run.step("promotion", 1)
        return run

    return make


@pytest.fixture
def reference(prepared_root: SandboxRun, tmp_path: Path) -> Path:
    """The reference's files and one more that nothing reads: another policy by digest, and the same by what it says."""
    folder = tmp_path / "reference"
    shutil.copytree(prepared_root.folder("000/main"), folder)
    (folder / "NOTES.md").write_text("a copy")
    return folder
