"""Outputs that are no finite numbers, wherever a model is asked."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nashflow.components.core.errors import UserError
from nashflow.components.methods.inpo import INPO
from nashflow.components.models.finite import require_finite
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.sampling.processors import FiniteLogits
from nashflow.components.sampling.transformers_sampler import TransformersSampler
from nashflow.components.scoring.groups import Group
from nashflow.components.scoring.layouts.padded import Padded
from nashflow.components.scoring.scorer import TransformersScorer
from nashflow.components.training.data import PairData
from nashflow.components.training.loop import Trainer
from nashflow.components.training.settings import TrainingSettings
from tests.fixtures import models
from tests.fixtures.models import BOS, EOS

A, B, C = range(len(models.SPECIALS), len(models.SPECIALS) + 3)
WHOLE, BROKEN = [BOS, A, B], [BOS, B, C, A]
"""Two prompts; the second has the token that the damaged model reads as NaN."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("whole"), ("a", "b", "c"))


@pytest.fixture(scope="module")
def damaged(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.damage(whole, C, tmp_path_factory.mktemp("damaged") / "policy")


def line(folder: Path, remedy: str) -> str:
    return (
        f"the policy in {folder} answers with numbers that are infinite or NaN, in float32, to 'b c a': if a run has "
        f"trained it, lower training.learning_rate there{remedy}"
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("mixed", [False, True])
def test_nothing_is_sampled_from_them(temperature: float, mixed: bool, whole: Path, damaged: Path) -> None:
    sampler = TransformersSampler({whole: 0.5, damaged: 0.5} if mixed else {damaged: 1.0})

    def sample(prompt: list[int]) -> list[int]:
        rows = sampler.sample([prompt], [1], temperature=temperature, top_p=1.0, max_new_tokens=2, batch_size=2)
        return [token for batch in rows for _, response in batch for token in response.ids]

    with pytest.raises(UserError) as caught:
        sample(BROKEN)
    assert str(caught.value) == line(damaged, "; else set rollout.dtype to float32")
    assert sample([BOS, A])


@pytest.mark.parametrize("row", [[1.0, math.nan], [1.0, math.inf], [-math.inf, -math.inf], [math.nan, -math.inf]])
def test_a_model_may_forbid_tokens_but_not_all_of_them(row: list[float], whole: Path) -> None:
    model = load_causal_lm(whole)
    finite = FiniteLogits(model, [WHOLE, BROKEN])
    allowed = torch.tensor([[1.0, -math.inf], [-math.inf, -1e30]])
    assert finite(torch.zeros(2, 4), allowed) is allowed
    with pytest.raises(UserError, match="to 'b c a'"):
        finite(torch.zeros(2, 4), torch.tensor([[1.0, -math.inf], row]))


def test_nothing_is_scored_with_them(damaged: Path) -> None:
    scorer = TransformersScorer(load_causal_lm(damaged), Padded())
    assert all(map(math.isfinite, scorer.score([(WHOLE, [A, EOS]), ([BOS], [B, EOS])], 100)))
    with pytest.raises(UserError) as caught:
        scorer.score([(WHOLE, [A, EOS]), (BROKEN, [B, EOS])], 100)
    assert str(caught.value) == line(damaged, "; else set logprobs.dtype to float32")


def test_nothing_is_learnt_from_them(whole: Path, damaged: Path) -> None:
    (phase,) = INPO(eta=0.5, tau=0.1).phases(1)
    groups = [Group(WHOLE, ([A, EOS], [B, EOS])), Group(BROKEN, ([A, EOS], [B, EOS]))]
    data = PairData(groups, np.ones((2, 2)), {name: np.zeros((2, 2)) for name in phase.weights})
    settings = TrainingSettings(batch_size=2, epochs=3, warmup_ratio=0.0)
    with pytest.raises(UserError) as caught:
        Trainer(load_causal_lm(damaged), phase, data, settings, (0,)).update([0, 1])
    assert str(caught.value) == line(damaged, "")
    training = Trainer(load_causal_lm(whole), phase, data, settings, (0,))
    training.update([0, 1])
    with torch.no_grad():
        training.model.get_output_embeddings().weight.fill_(math.nan)
    with pytest.raises(UserError, match=r"to 'a b': that is after 1 updates: lower training\.learning_rate$"):
        training.update([0, 1])


def test_a_long_input_is_shown_by_both_ends(whole: Path) -> None:
    with pytest.raises(UserError, match=rf"to '{'a ' * 15}{'b ' * 5} … {' b' * 19} c': lower something$"):
        require_finite(torch.tensor([math.inf]), load_causal_lm(whole), [[A] * 15 + [B] * 40 + [C]], "lower something")
