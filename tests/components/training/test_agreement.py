"""Cached log-probabilities that are not training's: refused by a recipe, and by the step before its first update."""

import math
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.scoring.engines import Transformers
from nashflow.components.scoring.settings import ScoringSettings
from nashflow.components.storage import records
from nashflow.components.storage.units import Unit
from nashflow.components.training.data import PairData
from nashflow.components.training.engines import DeepSpeed, Torch, TrainingEngine
from nashflow.components.training.settings import check_precision
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from tests.fixtures.runs import SandboxRun, recipe, remove

UNIT, CACHED = "policies/002/main", "iterations/002/main/logprobs/00000"


class Elsewhere(Transformers):
    """An engine that computes by code of its own."""

    as_training = False


def refusal(engine: TrainingEngine, dtype: str, own: bool = True) -> str:
    """What a recipe with these is refused by; nothing if it is taken."""
    scoring = ScoringSettings(dtype=dtype).model_copy(update={"engine": Transformers() if own else Elsewhere()})
    try:
        check_precision(scoring, engine)
    except ValueError as line:
        return str(line)
    return ""


EXACT = DeepSpeed(precision="float32")
EXACTS = [("torch", "float32"), ("deepspeed", "float32")]


def test_each_engine_trains_on_values_of_its_own_precision() -> None:
    taken = {
        ((engine.kind, engine.dtype), dtype, own)
        for engine in (Torch(), DeepSpeed(), EXACT)
        for dtype in ("float32", "float64", "bfloat16")
        for own in (True, False)
        if not refusal(engine, dtype, own)
    }
    assert taken == {
        *((exact, dtype, own) for exact in EXACTS for dtype in ("float32", "float64") for own in (True, False)),
        (("deepspeed", "bfloat16"), "bfloat16", True),
    }


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("engine", "dtype"),
    [(Torch(), "bfloat16"), (EXACT, "bfloat16"), (DeepSpeed(), "float32"), (DeepSpeed(), "float64")],
)
def test_a_refusal_says_how_far_they_differ_and_its_advice_works(engine: TrainingEngine, dtype: str, own: bool) -> None:
    line = refusal(engine, dtype, own)
    assert "0.1 to 1.3 nats a response" in line
    advised = dict(re.findall(r"logprobs\.(\w+) to (\w+)", line))
    assert not refusal(engine, advised["dtype"], own or advised.get("engine") == "transformers")


def test_a_recipe_is_refused_where_it_is_read() -> None:
    with pytest.raises(UserError, match=r"logprobs\.dtype is bfloat16, but training\.engine torch computes in float32"):
        recipe({"logprobs.dtype": "bfloat16"})


def test_the_shipped_recipes_agree_with_their_engines() -> None:
    for file in SHIPPED.glob("*.yaml"):
        shipped = load_recipe(file.stem)
        assert not refusal(shipped.training.engine, shipped.logprobs.dtype)


# --- before the first update -----------------------------------------------------------------------------------------


@pytest.fixture
def run(finished: SandboxRun) -> SandboxRun:
    """A run whose second training is to be done."""
    remove(finished, UNIT)
    return finished


def cache_again(run: SandboxRun, added: float) -> None:
    """Publish the log-probs of the second iteration once more, those of one response under π_1 changed."""
    before = run.manifest(CACHED)
    rows = before.rows(run.store, records.LOGPROBS)
    next(row for row in rows if row["policy"] == "001/main")["chosen"] += added
    remove(run, CACHED)
    call = run.call("logprobs", 2)
    settings = call.settings.model_dump(mode="json")
    unit = Unit(run.store, CACHED, before.version, settings, before.inputs)
    assert unit.fingerprint == before.fingerprint
    unit.publish_records({records.LOGPROBS: rows}, before.metrics, time.time())


def whole_batch(run: SandboxRun) -> SandboxRun:
    """Its first update is on all pairs."""
    return run.changed(training__batch_size=96)


def test_values_within_rounding_are_taken_and_the_difference_is_told(run: SandboxRun) -> None:
    cache_again(run, 0.03)
    in_parts = whole_batch(run).changed(training__micro_batch_tokens=500)
    manifest = in_parts.step("training", 2).manifest
    assert manifest
    assert manifest.metrics["cache_mismatch"] == pytest.approx(0.03, abs=1e-4)


@pytest.mark.parametrize("added", [0.1, -0.1, math.nan])
def test_values_that_are_not_trainings_stop_it_and_the_advice_works(run: SandboxRun, added: float) -> None:
    undisturbed = run.step("training", 2).manifest
    assert undisturbed
    remove(run, UNIT)
    cache_again(run, added)
    with pytest.raises(UserError) as caught:
        whole_batch(run).step("training", 2)
    line = str(caught.value)
    row = run.content("pairs", 2)[0]
    assert line.startswith(
        f"the cached log-probability of 001/main for the chosen response of row_id {row['row_id']}, pair 0, is nan: "
        if math.isnan(added)
        else f"phase main: the cached log-probabilities of 001/main differ by up to {abs(added):.1g} nats"
    )
    assert not run.store.exists(f"{UNIT}.manifest.json")
    found = re.search(r"delete (\S+) and (\S+), and run the same command again", line)
    assert found
    for place in found.groups():
        assert Path(place).is_relative_to(Path(run.root).parent)
        shutil.rmtree(place, ignore_errors=True)
    assert not run.step("logprobs", 2).skipped
    repeated = run.step("training", 2).manifest
    assert repeated
    assert repeated.files == undisturbed.files


def test_where_the_start_is_the_only_anchor_the_first_loss_is_the_targets_square(
    finished: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At t = 1: h = 0 and c = 1/(2η) = 1. A sequence that is scored beside its place changes that."""
    assert finished.manifest("policies/001/main").curves["loss"][0] == pytest.approx(1.0, abs=1e-4)
    remove(finished, "policies/001/main")
    base = PairData.base
    monkeypatch.setattr(PairData, "base", lambda data, phase: base(data, phase) + np.array([1.0, 0.0]))
    with pytest.raises(UserError, match=r"the first loss is 4\S*, but 1 for a policy that is its only anchor"):
        finished.step("training", 1)


@pytest.mark.parametrize(
    ("method", "first"),
    [
        ({"name": "iterative_dpo", "beta": 0.5, "reference": "moving"}, math.log(2)),
        ({"name": "inpo", "eta": 0.5, "tau": 0.1, "reduction": "mean"}, 1.0),
    ],
    ids=["logistic", "means"],
)
def test_other_links_and_reductions_begin_where_they_should(finished: SandboxRun, method: Any, first: float) -> None:
    other = finished.changed(method=method)
    remove(other, "policies/001/main")
    for step in ("rollout", "judging", "logprobs"):
        other.step(step, 1)
    manifest = other.step("training", 1).manifest
    assert manifest
    assert manifest.curves["loss"][0] == pytest.approx(first, abs=1e-4)
    assert manifest.metrics["cache_mismatch"] < 1e-3
