"""The training step on a run: what it publishes, and that a kill changes nothing of it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.weights import weights_digest
from nashflow.components.oracles.referee import COUNTS
from nashflow.components.storage import records
from nashflow.components.storage.units import Manifest, Unit
from nashflow.components.training.data import load
from nashflow.components.training.loop import Trainer
from nashflow.components.training.speed import FIGURES
from nashflow.components.training.step import VERSION
from nashflow.components.training.task import Task
from tests.fixtures.runs import SandboxRun, log_policy, logprobs, remove, snapshot

New = Callable[..., SandboxRun]
UNIT = "policies/002/main"
PAIRS = "iterations/002/main/pairs/00000"


class Killed(Exception):
    """What strikes in the middle of a training."""


class Mortal:
    """`Trainer.update`, killed before its call number `until`; counts the updates."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.until, self.made = -1, 0
        update = Trainer.update

        def mortal(trainer: Trainer, batch: list[int]) -> dict[str, float]:
            if self.made == self.until:
                raise Killed
            self.made += 1
            return update(trainer, batch)

        monkeypatch.setattr(Trainer, "update", mortal)


@pytest.fixture
def run(finished: SandboxRun) -> SandboxRun:
    """A run whose second training is to be done: 12 updates, a checkpoint after every fifth."""
    remove(finished, UNIT)
    return finished.changed(training={**finished.recipe.training.model_dump(), "checkpoint_updates": 5})


def learnt(manifest: Manifest) -> tuple[Any, ...]:
    """What training says of what it made: every figure but its speed, every curve, and the digest of the weights."""
    assert manifest.weights_digest
    assert manifest.curves
    figures = {name: value for name, value in manifest.metrics.items() if name not in FIGURES}
    return figures, manifest.curves, manifest.weights_digest


def margins(run: SandboxRun, policy: str) -> np.ndarray:
    """log π(y_w) − log π(y_l) of the second iteration's pairs."""
    rows = run.content("pairs", 2)
    chosen, rejected = (
        logprobs(run.folder(policy), [(row["prompt_ids"], row[f"{side}_ids"]) for row in rows])
        for side in ("chosen", "rejected")
    )
    return chosen - rejected


def test_a_policy_and_its_figures_are_published(finished_root: SandboxRun) -> None:
    folder, manifest = finished_root.folder("002/main"), finished_root.manifest(UNIT)
    figures = manifest.metrics
    before = finished_root.manifest("policies/001/main")
    assert manifest.weights_digest == weights_digest(folder) != before.weights_digest
    reference = finished_root.folder("000/main")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes()
    assert (figures["pairs"], figures["updates"]) == (96, 12)
    assert {len(values) for values in manifest.curves.values()} == {12}
    assert figures["cache_mismatch"] < 1e-4
    assert figures["mfu"] > 0
    assert 0 <= figures["padding"] < 1
    assert figures["tokens_per_second"] > 0
    assert figures["peak_gib"] > 0.1
    assert set(FIGURES) <= figures.keys()
    for name in ("000/main", "001/main"):
        assert figures[f"margin/{name}"] == pytest.approx(margins(finished_root, name).mean(), abs=1e-6)
    assert finished_root.store.list("iterations/002/main/training") == []


def test_the_first_update_sees_the_loss_of_the_policy_it_starts_from(run: SandboxRun) -> None:
    whole = run.changed(training={**run.recipe.training.model_dump(), "batch_size": 96, "epochs": 2})
    manifest = whole.step("training", 2).manifest
    figures = manifest.metrics
    h = margins(run, "001/main") * 0.2 - margins(run, "000/main") * 0.2
    assert figures["loss_first"] == manifest.curves["loss"][0] == pytest.approx(((h - 1.0) ** 2).mean(), rel=1e-5)
    assert figures["h_first"] == pytest.approx(h.mean(), abs=1e-5)


def test_the_second_update_sees_the_policy_that_the_first_made(run: SandboxRun) -> None:
    settings = {**run.recipe.training.model_dump(), "batch_size": 96, "schedule": "constant", "warmup_ratio": 0.0}
    curves = run.changed(training={**settings, "epochs": 2}).step("training", 2).manifest.curves
    run.changed(training={**settings, "epochs": 1}).step("training", 2)
    reached = margins(run, "002/main")
    h = reached - 0.2 * margins(run, "000/main") - 0.8 * margins(run, "001/main")
    assert curves["h"][1] == pytest.approx(h.mean(), abs=1e-5)
    assert curves["loss"][1] == pytest.approx(((h - 1.0) ** 2).mean(), rel=1e-5)
    assert curves["loss"][1] < curves["loss"][0]


def test_a_finished_training_is_left_alone(finished: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    mortal, before = Mortal(monkeypatch), snapshot(finished.root)
    assert finished.step("training", 2).skipped
    assert (snapshot(finished.root), mortal.made) == (before, 0)


def test_policies_of_version_0_1_0_are_found_finished(finished: SandboxRun) -> None:
    """Their manifests have digest and curves among the metrics."""
    learnt_before = learnt(finished.manifest(UNIT))
    for unit in ("policies/000/main", "policies/001/main", UNIT):
        old = finished.manifest(unit).to_json()
        old["metrics"] |= {"weights": old.pop("weights_digest"), "curves": old.pop("curves")}
        finished.store.write(f"{unit}.manifest.json", json.dumps(old).encode())
    for step in ("rollout", "judging", "logprobs", "training"):
        assert finished.step(step, 2).skipped
    assert learnt(finished.manifest(UNIT)) == learnt_before


@pytest.mark.parametrize("killed_before", [3, 5, 7, 11])
def test_a_killed_training_ends_as_an_undisturbed_one(
    killed_before: int, run: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run.step("training", 2).manifest
    remove(run, UNIT)
    mortal = Mortal(monkeypatch)
    mortal.until = killed_before
    with pytest.raises(Killed):
        run.step("training", 2)
    with pytest.raises(UserError, match="not there yet"):
        run.manifest(UNIT)

    wait_for_checkpoint(run, killed_before // 5 * 5)
    mortal.until, mortal.made = -1, 0
    manifest = run.step("training", 2).manifest
    assert mortal.made == 12 - killed_before // 5 * 5
    assert learnt(manifest) == learnt(undisturbed)
    assert manifest.files == undisturbed.files
    assert run.store.list("iterations/002/main/training") == []


def wait_for_checkpoint(run: SandboxRun, update: int) -> None:
    """Checkpoints are written in the background; a kill may come before, which costs updates and changes nothing."""
    key = f"update-{update:08d}/part-00000-of-00001.json"
    while update and not any(name.endswith(key) for name in run.store.list("iterations/002/main/training")):
        time.sleep(0.02)


def test_a_kill_while_a_checkpoint_is_written_costs_updates_alone(
    run: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run.step("training", 2).manifest
    remove(run, UNIT)
    mortal = Mortal(monkeypatch)
    mortal.until = 12
    write = type(run.store).write

    def torn(store: Any, key: str, data: bytes) -> None:
        if key.endswith("update-00000010/part-00000-of-00001.json"):
            raise Killed
        write(store, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(type(run.store), "write", torn)
        with pytest.raises(Killed):
            run.step("training", 2)
    mortal.until, mortal.made = -1, 0
    assert learnt(run.step("training", 2).manifest) == learnt(undisturbed)
    assert mortal.made == 7  # from the fifth on


def test_a_checkpoint_of_other_settings_is_not_used(run: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    mortal = Mortal(monkeypatch)
    mortal.until = 7
    with pytest.raises(Killed):
        run.step("training", 2)
    wait_for_checkpoint(run, 5)
    mortal.until, mortal.made = -1, 0
    run.changed(training={**run.recipe.training.model_dump(), "learning_rate": 1e-4}).step("training", 2)
    assert mortal.made == 12


def test_shards_change_no_weight(finished_root: SandboxRun, prepare: New) -> None:
    sharded = prepare({"prompts.shards": 3, "run.iterations": 1})
    sharded.data(1)
    manifest = sharded.step("training", 1).manifest
    assert learnt(manifest) == learnt(finished_root.manifest("policies/001/main"))


def test_the_seed_orders_the_pairs(run: SandboxRun) -> None:
    """At a learning rate that moves no weight one pass over the same pairs has the same mean loss in any order."""
    losses = []
    for seed in (0, 1):
        still = run.changed(training={**run.recipe.training.model_dump(), "learning_rate": 1e-30, "epochs": 1})
        seeded = still.changed(run={**run.recipe.run.model_dump(), "seed": seed})
        losses.append(seeded.step("training", 2).manifest.curves["loss"])
    assert losses[0] != losses[1]
    assert sum(losses[0]) == pytest.approx(sum(losses[1]), rel=1e-5)


def test_the_policy_can_be_saved_in_bfloat16(run: SandboxRun) -> None:
    run.step("training", 2)
    exact = log_policy(run.folder("002/main"))
    size = sum(path.stat().st_size for path in run.folder("002/main").glob("*.safetensors"))
    half = run.changed(training={**run.recipe.training.model_dump(), "save_dtype": "bfloat16"})
    half.step("training", 2)
    assert sum(path.stat().st_size for path in half.folder("002/main").glob("*.safetensors")) < 0.6 * size
    np.testing.assert_allclose(log_policy(half.folder("002/main"))[exact > -8], exact[exact > -8], atol=0.2)


def test_not_one_pair_is_one_line(run: SandboxRun) -> None:
    unit = Unit(run.store, PAIRS, 1, {}, {})
    unit.publish_records({records.PAIRS: []}, dict.fromkeys(COUNTS, 0), time.time())
    run.step("logprobs", 2)
    with pytest.raises(UserError) as caught:
        run.step("training", 2)
    assert str(caught.value).startswith("phase main: not one pair is left: ")
    assert run.store.list("iterations/002/main/training") == []
    assert not run.store.exists(f"{UNIT}.manifest.json")


def test_a_diverged_training_publishes_nothing(run: SandboxRun) -> None:
    """But the pairs that it came to no number with: their log-probabilities after an update that was far too large."""
    with pytest.raises(UserError, match=r"lower training\.learning_rate; the pairs, ") as caught:
        run.changed(training={**run.recipe.training.model_dump(), "learning_rate": 1e30}).step("training", 2)
    assert not run.store.exists(f"{UNIT}.manifest.json")
    kept = [json.loads(line) for line in Path(str(caught.value).rpartition(" are in ")[2]).read_text().splitlines()]
    rows = {(row["row_id"], row["pair"]): row for row in run.content("pairs", 2)}
    assert 0 < len(kept) <= run.recipe.training.batch_size
    for row in kept:
        pair = rows[row["row_id"], row["pair"]]
        assert [row[name] for name in ("prompt_ids", "chosen_ids")] == [pair["prompt_ids"], pair["chosen_ids"]]
        assert row["anchors"].keys() == {"000/main", "001/main"}


def test_a_training_that_loses_held_out_pairs_stops_and_keeps_its_best_weights(
    run: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its fourth update, too."""
    held_out = {"share": 0.3, "updates": 2, "patience": 2}
    changes = {"learning_rate": 2e-4, "epochs": 20, "schedule": "constant", "checkpoint_updates": 2}
    changes |= {"held_out": held_out}
    watched = run.changed(training={**run.recipe.training.model_dump(), **changes})
    mortal = Mortal(monkeypatch)
    mortal.until = 3
    with pytest.raises(Killed):
        watched.step("training", 2)
    wait_for_checkpoint(watched, 2)
    mortal.until = -1
    manifest = watched.step("training", 2).manifest
    assert manifest
    figures, losses = manifest.metrics, manifest.curves["held_out_loss"]
    assert figures["updates"] == len(losses) < 60
    assert figures["kept_update"] == 1 + losses.index(figures["held_out_loss"]) < len(losses)
    assert figures["held_out_loss"] == min(losses)
    task = Task.of(watched.call("training", 2), VERSION)
    data = load(watched.store, task.phase, task.pairs, task.logprobs)
    settings = watched.recipe.training
    kept = settings.engine.open(watched.folder("002/main"), task.phase, data, settings, (0, 2, "main"))
    pairs = list(range(len(kept), len(data)))
    assert len(pairs) == figures["held_out_pairs"]
    trained = {row_id for row_id, _ in kept.data.rows[: len(kept)]}
    assert not trained & {kept.data.rows[index][0] for index in pairs}
    assert kept.measure(pairs)["loss"] == pytest.approx(figures["held_out_loss"], rel=1e-5)
    assert run.store.list("iterations/002/main/training") == []


def test_best_weights_are_whole_before_a_checkpoint_that_counts_on_them(
    run: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they take to write; and others are not taken for them."""
    changes = {"epochs": 4, "checkpoint_updates": 2, "held_out": {"share": 0.3, "updates": 2, "patience": 50}}
    changes |= {"learning_rate": 1e-5, "schedule": "constant"}  # so small that each is the best so far
    watched = run.changed(training={**run.recipe.training.model_dump(), **changes})
    written, write = [], type(run.store).write

    def slow(store: Any, key: str, data: bytes) -> None:
        if "-best/" in key:
            time.sleep(0.1)
        write(store, key, data)
        if "update-" in key:
            written.append(("-best/" in key, key.rpartition("/update-")[2]))

    monkeypatch.setattr(type(run.store), "write", slow)
    mortal = Mortal(monkeypatch)
    mortal.until = 5
    with pytest.raises(Killed):
        watched.step("training", 2)
    last = (False, "00000004/part-00000-of-00001.json")
    while last not in written:
        time.sleep(0.02)
    assert (True, last[1]) in written[: written.index(last)]
    task = Task.of(watched.call("training", 2), VERSION)
    data, settings = load(watched.store, task.phase, task.pairs, task.logprobs), watched.recipe.training
    trainer = settings.engine.open(task.start.folder, task.phase, data, settings, (0, 2, "main"))
    with pytest.raises(UserError, match="the weights after update 3, the training's best, are not kept"):
        task.checkpoints.beside("best").restore_only(3, trainer.descent)


def test_training_on_s3_makes_the_same_weights(
    run: SandboxRun, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    remote = run.copied(f"{s3_bucket}/runs/small")
    mortal = Mortal(monkeypatch)
    mortal.until = 11
    with pytest.raises(Killed):
        remote.step("training", 2)
    wait_for_checkpoint(remote, 10)
    mortal.until = -1
    resumed = remote.step("training", 2).manifest
    assert learnt(resumed) == learnt(run.step("training", 2).manifest)
    assert remote.store.list("iterations/002/main/training") == []
