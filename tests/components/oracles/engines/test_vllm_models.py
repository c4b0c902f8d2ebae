"""Oracles' models by vLLM: the same answers as by transformers, in float32."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.oracles.armorm.head import shapes
from nashflow.components.oracles.armorm.settings import ArmoRM
from nashflow.components.oracles.base import ABSTENTION, Query
from nashflow.components.oracles.embedding.settings import Embedding
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


def mixture(*memory: float) -> dict[str, Any]:
    engines = [{"kind": "vllm", "gpu_memory": share} for share in memory]
    oracles = [{"kind": "reward_model", "model": "m", "engine": engine} for engine in engines]
    return {"kind": "mixture", "oracles": oracles, "weights": [1 / len(memory)] * len(memory)}


def test_oracles_that_accelerators_have_no_room_for_together_are_refused() -> None:
    line = (
        r"^recipe\.yaml: oracle: vllm runs several oracles beside each other, and their engine\.gpu_memory, 0\.9 of "
        r"oracles\.0 and 0\.9 of oracles\.1 and 0\.1 of oracles\.2, add up to more than 1: set each to 0\.33 at most$"
    )
    with pytest.raises(UserError, match=line):
        Recipe.parse({"oracle": mixture(0.9, 0.9, 0.1)}, "recipe.yaml")
    assert Recipe.parse({"oracle": mixture(0.33, 0.33, 0.33)}, "recipe.yaml").oracle.memory == pytest.approx(0.99)


def test_vllm_does_not_compute_in_float64() -> None:
    section = {"kind": "pair_preference", "model": "m", "dtype": "float64", "engine": "vllm"}
    with pytest.raises(UserError, match="oracle: engine vllm does not compute in float64: set dtype to float32 or bfl"):
        Recipe.parse({"oracle": section}, "recipe.yaml")


def test_an_oracle_on_vllm_runs_in_its_image() -> None:
    assert PairPreference(model="m", engine=VllmOracleEngine()).runtime == "vllm"
    assert PairPreference(model="m").runtime == "steps"


def general_preference_model(folder: Path) -> Path:
    return models.with_head(models.llama(folder), **{"value_head.weight": (6, 64), "prompt_head.weight": (3, 64)})


def armorm(folder: Path) -> Path:
    sizes = {"num_objectives": 4, "gating_hidden_dim": 8, "gating_n_hidden": 1}
    models.with_head(models.llama(folder), **shapes({"hidden_size": 64, **sizes}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **sizes}))
    return folder


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (PairPreference, models.llama),
        (RewardModel, models.classifier),
        (Embedding, general_preference_model),
        (ArmoRM, armorm),
    ],
    ids=["pairs", "rewards", "embeddings", "armorm"],
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


class TestBesideEachOther:
    pytestmark = NEEDS_VLLM

    def test_two_that_are_asked_in_turn_keep_their_engines_open(self, tmp_path: Path) -> None:
        from vllm.v1.engine.llm_engine import LLMEngine

        engine: Any = {"kind": "vllm"}
        pairs = PairPreference(model=str(models.llama(tmp_path / "pairs")), engine=engine).load()
        rewards = RewardModel(model=str(models.classifier(tmp_path / "rewards")), engine=engine).load()
        opened = []
        with pytest.MonkeyPatch.context() as patch:
            made = LLMEngine.from_engine_args
            patch.setattr(LLMEngine, "from_engine_args", lambda args: [opened.append(args.model), made(args)][1])
            first = [oracle.compare(QUERIES) for oracle in (pairs, rewards)]
            again = [oracle.compare(QUERIES) for oracle in (pairs, rewards)]
        assert opened == [str(tmp_path / "pairs"), str(tmp_path / "rewards")]
        for before, after in zip(first, again, strict=True):
            assert [each.probability for each in after] == pytest.approx(
                [each.probability for each in before], abs=1e-5
            )


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return list(pre_tokenizers.ByteLevel.alphabet())
