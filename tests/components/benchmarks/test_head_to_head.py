"""Win rates with their intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nashflow.components.benchmarks.head_to_head import compare, wilson_interval
from nashflow.components.oracles.base import Oracle, Query, Verdict

PROMPTS = {-1 - index: [{"role": "user", "content": f"question {index}"}] for index in range(40)}


class Longer(Oracle):
    """The longer text wins, the more surely the longer it is."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        chances = (1 / (1 + np.exp((len(query.second) - len(query.first)) / 4)) for query in queries)
        return [Verdict.of(float(chance), float(chance)) for chance in chances]


def rollouts(texts: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Rows of the responses to each prompt."""
    return [
        {"row_id": -1 - index, "sample": sample, "text": text}
        for index, mine in enumerate(texts)
        for sample, text in enumerate(mine)
    ]


@given(st.integers(1, 3000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_is_wilsons(wins: tuple[int, int]) -> None:
    won, count = wins
    expected = binomtest(won, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(won / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_the_interval_holds_the_mean_and_stays_within_bounds(mean: float, count: int) -> None:
    low, high = wilson_interval(mean, count)
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    more_low, more_high = wilson_interval(mean, 4 * count)
    assert more_high - more_low < high - low


def test_the_win_rate_is_the_mean_of_the_prompts_means() -> None:
    ours, theirs = rollouts([["aaaa", "a"], ["aa", "aa"]]), rollouts([["a", "a"], ["aaa", "aa"]])
    figures, rows = compare(Longer(), PROMPTS, ours, theirs)
    chances = [1 / (1 + np.exp(-difference / 4)) for difference in (3, 0, -1, 0)]
    np.testing.assert_allclose([row["probability"] for row in rows], chances)
    assert figures["win_rate"] == pytest.approx(np.mean(chances))
    assert figures["evaluated_prompts"] == 2
    assert (figures["win_rate_low"], figures["win_rate_high"]) == wilson_interval(figures["win_rate"], 2)


def test_every_comparison_is_kept() -> None:
    ours, theirs = rollouts([["aaaa", "a"]]), rollouts([["a", "aaa"]])
    _, rows = compare(Longer(), PROMPTS, ours, theirs)
    assert [(row["row_id"], row["index"], row["first"], row["second"]) for row in rows] == [
        (-1, 0, 0, 0),
        (-1, 1, 1, 1),
    ]
    assert not any(row["abstained"] for row in rows)


@given(st.lists(st.lists(st.text("a", max_size=9), min_size=2, max_size=2), min_size=1, max_size=12))
def test_exchanging_sides_exchanges_the_win_rate(texts: list[list[str]]) -> None:
    ours, theirs = rollouts([mine[:1] for mine in texts]), rollouts([mine[1:] for mine in texts])
    one, _ = compare(Longer(), PROMPTS, ours, theirs)
    other, _ = compare(Longer(), PROMPTS, theirs, ours)
    assert one["win_rate"] + other["win_rate"] == pytest.approx(1)
    assert one["win_rate_low"] == pytest.approx(1 - other["win_rate_high"])


def test_a_policy_against_its_own_texts_is_even() -> None:
    ours = rollouts([["a"], ["aa"], ["aaa"]])
    assert compare(Longer(), PROMPTS, ours, ours)[0]["win_rate"] == 0.5


def test_responses_to_other_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        compare(Longer(), PROMPTS, rollouts([["a"], ["a"]]), rollouts([["a"]]))


@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_the_interval_covers_coins_and_probabilities(truth: float) -> None:
    """Coins about 95 times in 100; their probabilities, which vary less, at least as often."""
    random = np.random.default_rng(0)
    coins = random.binomial(100, truth, 2000) / 100
    chances = random.beta(6 * truth, 6 * (1 - truth), (2000, 100)).mean(1)
    for means, least, most in ((coins, 0.92, 0.97), (chances, 0.97, 1.0)):
        intervals = np.array([wilson_interval(mean, 100) for mean in means])
        assert least <= ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean() <= most
