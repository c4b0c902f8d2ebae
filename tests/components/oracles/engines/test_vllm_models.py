"""Oracles' models by vLLM: the same answers as by transformers, in float32."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.oracles.base import ABSTENTION, Query
from nashflow.components.oracles.engines.settings import VllmOracleEngine
from nashflow.components.oracles.pair_preference.settings import PairPreference
from nashflow.components.oracles.reward_model.settings import RewardModel
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.storage.records import Message
from tests.fixtures import models
from tests.fixtures.engines import NEEDS_VLLM

LONG: list[Message] = [{"role": "user", "content": "A riddle, please, and not too short a one. " * 6}]
SHORT: list[Message] = [{"role": "user", "content": "Name a colour."}]
ANSWERS = ["Red.", "Blue, of course.", ""]
QUERIES = [
    Query(messages, ANSWERS[first], ANSWERS[second])
    for messages in (SHORT, LONG, SHORT)
    for first in range(len(ANSWERS))
    for second in range(first)
]


class Recipe(Settings):
    oracle: AnyOracle


def test_vllm_does_not_compute_in_float64() -> None:
    section = {"kind": "pair_preference", "model": "m", "dtype": "float64", "engine": "vllm"}
    with pytest.raises(UserError, match="oracle: engine vllm does not compute in float64: set dtype to float32 or bfl"):
        Recipe.parse({"oracle": section}, "recipe.yaml")


def test_an_oracle_on_vllm_runs_in_its_image() -> None:
    assert PairPreference(model="m", engine=VllmOracleEngine()).runtime == "vllm"
    assert PairPreference(model="m").runtime == "steps"


@pytest.mark.parametrize(
    ("kind", "make"), [(PairPreference, models.llama), (RewardModel, models.classifier)], ids=["pairs", "rewards"]
)
class TestOnVllm:
    pytestmark = NEEDS_VLLM

    def test_probabilities_are_those_of_transformers(self, kind: Any, make: Any, tmp_path: Path) -> None:
        folder = str(make(tmp_path / "judge"))
        there = kind(model=folder).load().compare(QUERIES)
        oracle = kind(model=folder, engine={"kind": "vllm"}, batch_size=4).load()
        here = oracle.compare(QUERIES[:3]) + oracle.compare(QUERIES[3:])
        for found, expected in zip(here, there, strict=True):
            assert (found.forward, found.backward) == pytest.approx((expected.forward, expected.backward), abs=1e-4)
        assert np.ptp([verdict.probability for verdict in here]) > 0.01
        too_long = Query(SHORT, "word " * 120, "word " * 120 + "more")
        assert oracle.compare([too_long]) == [ABSTENTION]

    def test_what_is_no_number_is_refused(self, kind: Any, make: Any, tmp_path: Path) -> None:
        letter = 7 + sorted(_alphabet()).index("q")
        damaged = models.damage(make(tmp_path / "judge"), letter, tmp_path / "damaged")
        oracle = kind(model=str(damaged), engine={"kind": "vllm"}).load()
        with pytest.raises(UserError, match=f"the oracle in {damaged} answers with numbers that are infinite or NaN"):
            oracle.compare([Query(SHORT, "Red.", "Opaque.")])


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return list(pre_tokenizers.ByteLevel.alphabet())
