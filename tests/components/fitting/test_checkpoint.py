"""Checkpoints: what they bring back, and what a kill leaves."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nashflow.components.core.errors import TryAgain, UserError
from nashflow.components.fitting.checkpoint import Checkpoints
from nashflow.components.fitting.descent import Local
from nashflow.components.fitting.settings import FittingSettings
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


class Rank(Local):
    """One of several ranks that all have the whole state; each hears of SIGTERM alone."""

    def __init__(self, model: Any, rank: int = 0, ranks: int = 1) -> None:
        super().__init__(model, FittingSettings(learning_rate=1e-2))
        self.rank, self.ranks = rank, ranks


def trained(folder: Path, updates: int) -> tuple[Any, Rank]:
    """A model after some updates, and what moves it."""
    model: Any = load_causal_lm(folder)
    descent = Rank(model)
    go_on(model, descent, 0, updates)
    return model, descent


def go_on(model: Any, descent: Rank, first: int, updates: int) -> None:
    for update in range(first, first + updates):
        descent.backward(model(torch.tensor([[0, 7 + update % 3, 8, 9]])).logits.square().mean(), last=True)
        descent.step()


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_weights_that_no_loss_depends_on_are_kept(folder: Path, local: Store) -> None:
    """As those of a vision tower, of which AdamW has nothing to say."""

    def opened() -> tuple[Any, Rank]:
        model: Any = load_causal_lm(folder)
        model.unused = torch.nn.Linear(3, 3)
        return model, Rank(model)

    model, descent = opened()
    go_on(model, descent, 0, 2)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    writer.save(2, descent, {})
    writer.wait()
    other, again = opened()
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(again) == (2, {})
    for each, moves in ((model, descent), (other, again)):
        go_on(each, moves, 2, 2)
    assert_equal(weights(model), weights(other))


def test_training_goes_on_bit_by_bit(folder: Path, store: Store) -> None:
    model, descent = trained(folder, 3)
    curves = {"loss": [0.1, 1e-300, 1 / 3]}
    writer = Checkpoints(store, FOLDER, FINGERPRINT)
    writer.save(3, descent, curves)
    go_on(model, descent, 3, 3)  # while the checkpoint is being written
    writer.wait()

    resumed: Any = load_causal_lm(folder)
    fresh = Rank(resumed)
    assert Checkpoints(store, FOLDER, FINGERPRINT).restore(fresh) == (3, curves)
    go_on(resumed, fresh, 3, 3)
    assert_equal(weights(resumed), weights(model))


def test_the_newest_checkpoint_alone_is_kept(folder: Path, local: Store) -> None:
    _, descent = trained(folder, 1)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    for update in (9, 10, 11):  # in the order of numbers, not of letters
        writer.save(update, descent, {})
    writer.wait()
    assert {key.split("/")[-2] for key in local.list(PREFIX)} == {"update-00000011"}
    restored = Checkpoints(local, FOLDER, FINGERPRINT).restore(descent)
    assert restored == (11, {})
    writer.discard()
    assert local.list() == []
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(descent) is None


def test_half_a_checkpoint_does_not_count(folder: Path, local: Store) -> None:
    model, descent = trained(folder, 1)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    writer.save(5, descent, {})
    writer.wait()
    before = weights(model)
    for key in local.list(PREFIX):
        if not key.endswith(".json"):
            local.write(key.replace("00000005", "00000010"), b"half")
    go_on(model, descent, 1, 1)
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(descent) == (5, {})
    assert_equal(weights(model), before)


def test_checkpoints_of_other_settings_are_not_restored_and_go_in_the_end(folder: Path, local: Store) -> None:
    _, descent = trained(folder, 1)
    one, other = Checkpoints(local, FOLDER, FINGERPRINT), Checkpoints(local, FOLDER, "other")
    other.save(5, descent, {})
    other.wait()
    assert one.restore(descent) is None
    assert other.restore(descent) == (5, {})
    one.discard()
    assert local.list(FOLDER) == []


def test_a_copy_that_lags_behind_leaves_newer_checkpoints_and_a_torn_one_is_passed_over(
    folder: Path, local: Store
) -> None:
    _, descent = trained(folder, 1)
    ahead, behind = (Checkpoints(local, FOLDER, FINGERPRINT) for _ in range(2))
    ahead.save(30, descent, {})
    ahead.wait()
    behind.save(20, descent, {})
    behind.wait()
    assert behind.restore(descent) == (30, {})
    for key in local.list(f"{PREFIX}/update-00000030"):
        if key.endswith(".safetensors"):
            local.delete(key)
    assert behind.restore(descent) == (20, {})


def test_an_error_while_writing_is_raised_at_the_next_checkpoint(
    folder: Path, local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, descent = trained(folder, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    monkeypatch.setattr(type(local), "upload", full)
    writer.save(5, descent, {})
    with pytest.raises(OSError, match="No space left"):
        writer.save(10, descent, {})
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    assert Checkpoints(local, FOLDER, FINGERPRINT).restore(descent) is None


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_any_number_of_ranks_reads_what_any_other_number_has_written(
    folder: Path, local: Store, before: int, after: int
) -> None:
    model, _ = trained(folder, 2)
    for rank in range(before):
        part = Checkpoints(local, FOLDER, FINGERPRINT)
        writer = Rank(model, rank, before)
        go_on(model, writer, 2, 1)
        held = dict(writer.state())
        assert part.restore(Rank(model)) is None  # not yet whole
        part.save(3, writer, {"loss": [float(rank)]})
        part.wait()
    readers = [Checkpoints(local, FOLDER, FINGERPRINT) for _ in range(after)]
    seen: dict[str, Any] = {}
    for rank, reader in enumerate(readers):
        descent = Rank(load_causal_lm(folder), rank, after)
        descent.load_state = lambda updates, read, rank=rank: seen.update(  # type: ignore[method-assign, misc]
            {name: read(place, name)[1] for place, name in enumerate(held) if read(place, name)[0] == rank}
        )
        assert reader.restore(descent) == (3, {"loss": [0.0]})
    assert seen.keys() == held.keys()
    assert {frozenset(tensors) for tensors in seen.values()} == {frozenset(("weight", "exp_avg", "exp_avg_sq"))}


@pytest.mark.parametrize(
    ("end", "old", "new"),
    [(".safetensors", b"", b"#"), (".json", b'"update": 5', b'"update": 4'), (".json", b"{", b"\xff")],
)
def test_a_damaged_part_is_named_and_the_advice_works(
    folder: Path, local: Store, end: str, old: bytes, new: bytes
) -> None:
    _, descent = trained(folder, 1)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    writer.save(5, descent, {})
    writer.wait()
    (key,) = (key for key in local.list(PREFIX) if key.endswith(end))
    assert old in local.read(key)
    local.write(key, local.read(key).replace(old, new) if old else local.read(key)[:-1] + new)
    place = local.location(f"{PREFIX}/update-00000005")
    with pytest.raises(UserError, match=f"damaged.*delete {place} and run"):
        writer.restore(descent)
    for each in local.list(f"{PREFIX}/update-00000005"):
        local.delete(each)
    assert writer.restore(descent) is None


@pytest.mark.parametrize("newest", [0, 5])
def test_ranks_that_see_different_checkpoints_do_not_go_on(folder: Path, local: Store, newest: int) -> None:
    """As where another attempt at the training, in another pod, writes one while this one begins."""
    _, descent = trained(folder, 1)
    writer = Checkpoints(local, FOLDER, FINGERPRINT)
    if newest:
        writer.save(newest, descent, {})
        writer.wait()
    descent.gathered = lambda values: np.array([values, [10.0]])  # type: ignore[method-assign]
    with pytest.raises(TryAgain, match="another attempt at this training writes checkpoints now: run the same command"):
        writer.restore(descent)


def test_sigterm_waits_for_the_copy_and_prevents_the_next_one(
    folder: Path, local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, descent = trained(folder, 1)
    monkeypatch.setattr(descent, "state", lambda: (os.kill(os.getpid(), signal.SIGTERM), *Local.state(descent))[1:])
    before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
    try:
        writer = Checkpoints(local, FOLDER, FINGERPRINT)
        with pytest.raises(SystemExit):
            writer.save(5, descent, {})
        writer.wait()
        assert writer.restore(descent) == (5, {})
        with monkeypatch.context() as another:  # another rank has heard of it
            another.setattr(descent, "gathered", lambda values: np.array([[True]]))
            writer.save(10, descent, {})
        assert writer.restore(descent) == (5, {})
    finally:
        signal.signal(signal.SIGTERM, before)
