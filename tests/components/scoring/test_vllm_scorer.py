"""vLLM scores responses as the definition has it, one by one or together."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.scoring.engines import Scorer, Vllm
from nashflow.components.scoring.layouts import Padded
from nashflow.components.scoring.settings import ScoringSettings
from tests.fixtures import models
from tests.fixtures.engines import NEEDS_VLLM
from tests.fixtures.runs import logprobs

DRAWN = random.Random(0)
PAIRS = [
    ([DRAWN.randrange(3, 90) for _ in range(prompt)], [DRAWN.randrange(3, 90) for _ in range(response)])
    for prompt, response in [(1, 1), (60, 1), (1, 200), (250, 262), *((3 + n, 40 - n) for n in range(30))]
]
"""The fourth fills all 512 positions of the model."""


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_vllm_scores_in_float32_alone(dtype: str) -> None:
    with pytest.raises(UserError, match=f"^logprobs: engine vllm does not score in {dtype}: set dtype to float32, or"):
        ScoringSettings.parse({"engine": "vllm", "dtype": dtype}, "logprobs")


def test_a_smaller_kv_cache_is_refused() -> None:
    with pytest.raises(UserError, match=r"^logprobs\.engine\.kv_cache_dtype is fp8, .*: set it to auto$"):
        Vllm(kv_cache_dtype="fp8").check()


class TestScores:
    pytestmark = NEEDS_VLLM

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return models.llama(tmp_path_factory.mktemp("policy"))

    @pytest.fixture(scope="class")
    def scorer(self, folder: Path) -> Iterator[Scorer]:
        return Vllm().open(folder, "float32", load_causal_lm, Padded())

    def test_they_are_those_of_the_definition(self, folder: Path, scorer: Scorer) -> None:
        expected = logprobs(folder, PAIRS).tolist()
        together = scorer.score(PAIRS, 4096)
        assert together == pytest.approx(expected, abs=2e-3)
        assert [scorer.score([pair], 64)[0] for pair in PAIRS[:3]] == pytest.approx(together[:3], abs=1e-4)

    def test_a_policy_that_answers_nan_is_refused(self, folder: Path, tmp_path: Path) -> None:
        damaged = models.damage(folder, 5, tmp_path / "damaged")
        with pytest.raises(UserError, match=f"^the policy in {damaged} answers with numbers that are infinite or NaN"):
            Vllm().open(damaged, "float32", load_causal_lm, Padded()).score([([3, 4], [6, 5, 7])], 64)
