"""Checkpoints: what they bring back, and what a kill leaves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nashflow.components.fitting.checkpoint import Checkpoints
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.storage.store import Store, open_store
from tests.fixtures import models

FOLDER, FINGERPRINT = "iterations/001/main/training", "abc"
PREFIX = f"{FOLDER}/{FINGERPRINT}"


@pytest.fixture(scope="module", params=[models.llama, models.gpt2], ids=["llama", "gpt2"])
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's input and output embeddings are one tensor."""
    folder: Path = request.param(tmp_path_factory.mktemp("model"), ("a", "b", "c"))
    return folder


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(
        str(tmp_path / "run") if request.param == "local" else request.getfixturevalue("s3_bucket") + "/r"
    )


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


def trained(folder: Path, updates: int) -> tuple[Any, Any]:
    """A model and its optimizer after some updates."""
    model: Any = load_causal_lm(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    go_on(model, optimizer, 0, updates)
    return model, optimizer


def go_on(model: Any, optimizer: Any, first: int, updates: int) -> None:
    for update in range(first, first + updates):
        model(torch.tensor([[0, 7 + update % 3, 8, 9]])).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_training_goes_on_bit_by_bit(folder: Path, store: Store) -> None:
    model, optimizer = trained(folder, 3)
    curves = {"loss": [0.1, 1e-300, 1 / 3]}
    writer = Checkpoints(store, FOLDER, FINGERPRINT)
    writer.save(3, model, optimizer, curves)
    go_on(model, optimizer, 3, 3)  # while the checkpoint is being written
    writer.wait()

    resumed: Any = load_causal_lm(folder)
    fresh = torch.optim.AdamW(resumed.parameters(), lr=1e-2)
    assert Checkpoints(store, FOLDER, FINGERPRINT).restore(resumed, fresh) == (3, curves)
    go_on(resumed, fresh, 3, 3)
    assert_equal(weights(resumed), weights(model))


def test_the_newest_checkpoint_alone_is_kept(folder: Path, local: Store) -> None:
    model, optimizer = trained(folder, 1)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    for update in (9, 10, 11):  # in the order of numbers, not of letters
        writer.save(update, model, optimizer, {})
    writer.wait()
    assert {key.split("/")[-2] for key in local.list(PREFIX)} == {"update-00000011"}
    restored = Checkpoints(local, FOLDER, FINGERPRINT).restore(model, optimizer)
    assert restored == (11, {})
    writer.discard()
    assert local.list() == []
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(model, optimizer) is None


def test_half_a_checkpoint_does_not_count(folder: Path, local: Store) -> None:
    model, optimizer = trained(folder, 1)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    writer.save(5, model, optimizer, {})
    writer.wait()
    before = weights(model)
    for key in local.list(PREFIX):
        if not key.endswith("state.json"):
            local.write(key.replace("00000005", "00000010"), b"half")
    go_on(model, optimizer, 1, 1)
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(model, optimizer) == (5, {})
    assert_equal(weights(model), before)


def test_checkpoints_of_other_settings_are_not_restored_and_go_in_the_end(folder: Path, local: Store) -> None:
    model, optimizer = trained(folder, 1)
    one, other = Checkpoints(local, FOLDER, FINGERPRINT), Checkpoints(local, FOLDER, "other")
    other.save(5, model, optimizer, {})
    other.wait()
    assert one.restore(model, optimizer) is None
    assert other.restore(model, optimizer) == (5, {})
    one.discard()
    assert local.list(FOLDER) == []


def test_a_copy_that_lags_behind_leaves_newer_checkpoints_and_a_torn_one_is_passed_over(
    folder: Path, local: Store
) -> None:
    model, optimizer = trained(folder, 1)
    ahead, behind = (Checkpoints(local, FOLDER, FINGERPRINT) for _ in range(2))
    ahead.save(30, model, optimizer, {})
    ahead.wait()
    behind.save(20, model, optimizer, {})
    behind.wait()
    assert behind.restore(model, optimizer) == (30, {})
    local.delete(f"{PREFIX}/update-00000030/weights.safetensors")
    assert behind.restore(model, optimizer) == (20, {})


def test_an_error_while_writing_is_raised_at_the_next_checkpoint(
    folder: Path, local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = trained(folder, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    monkeypatch.setattr(type(local), "upload", full)
    writer.save(5, model, optimizer, {})
    with pytest.raises(OSError, match="No space left"):
        writer.save(10, model, optimizer, {})
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(model, optimizer) is None
