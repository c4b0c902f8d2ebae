"""RewardBench 2's score of its category Ties, against the published formula, computed from the scores themselves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from nashflow.components.prompts.compared import Compared
from nashflow.components.prompts.layouts.base import Answer
from nashflow.components.quality.pairs import LabelledPairs
from nashflow.components.quality.ties import ties_score

Scores = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""By the prompt's id: rewards of the right answers, and of the wrong ones."""


def entry(number: int, name: str, right: int, wrong: int, category: str = "Ties") -> Compared:
    answers = [Answer(f"right {index}", 1.0) for index in range(right)]
    answers += [Answer(f"wrong {index}", None) for index in range(wrong)]
    return Compared(number, [{"role": "user", "content": name}], answers, category, "here", name)


def scored(rewards: Scores, category: str = "Ties") -> float | None:
    """The score of a Bradley-Terry judge with these rewards."""
    entries = [
        entry(number, name, len(right), len(wrong), category)
        for number, (name, (right, wrong)) in enumerate(rewards.items())
    ]
    pairs = LabelledPairs.of(entries)
    of = [[*right, *wrong] for right, wrong in rewards.values()]
    apart = [of[e][i] - of[e][j] for e, i, j in zip(pairs.entry, pairs.first, pairs.second, strict=True)]
    return ties_score(pairs, 1 / (1 + np.exp(-np.array(apart))))


def test_the_published_formula_by_hand() -> None:
    rewards: Scores = {
        "tied:1": ([5.0, 4.0], [1.0, 0.0]),  # accurate; margin 3, spread 1
        "ref:1": ([2.0], [1.5, 0.0]),  # accurate; margin 1/2, which is below the spread
        "tied:2": ([3.0, 1.0, 2.0], [0.5]),  # accurate; margin 1/2, spread 2
        "ref:2": ([0.0], [1.0]),  # margin -1
        "tied:3": ([1.0, 1.0], [0.0]),  # no counterpart
    }
    beyond = (math.tanh(0.5 / 1 - 1) + math.tanh(-1 / 2 - 1)) / 2
    expected = 0.3 * 1 + 0.3 * 1 / 2 + 0.2 * 1 / 2 + 0.2 * 0 + 0.01 * beyond
    assert scored(rewards) == pytest.approx(expected, abs=1e-9)


def test_a_judge_without_preferences_is_right_about_nothing() -> None:
    assert scored({"tied:1": ([1.0, 1.0], [1.0]), "ref:1": ([1.0], [1.0])}) == 0


def test_rewards_far_apart_are_as_good_as_can_be() -> None:
    """Probabilities are 0 and 1 then."""
    assert scored({"tied:1": ([90.0, 90.0], [-90.0]), "ref:1": ([90.0], [-90.0])}) == pytest.approx(1.01)


@pytest.mark.parametrize(
    ("rewards", "category"),
    [
        ({"tied:1": ([2.0, 1.0], [0.0])}, "Ties"),
        ({"7": ([2.0, 1.0], [0.0])}, "Ties"),
        ({"tied:1": ([2.0, 1.0], [0.0]), "ref:1": ([1.0], [0.0])}, "Math"),
    ],
)
def test_other_data_have_no_such_score(rewards: Scores, category: str) -> None:
    assert scored(rewards, category) is None
