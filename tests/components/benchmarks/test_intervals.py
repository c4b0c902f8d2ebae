"""How well samples tell a mean: what the intervals cover, by simulation, and what they are made of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nashflow.components.benchmarks.intervals import mean_interval, ratio_interval, standard_error

Draw = Callable[[np.random.Generator, Any, int], Any]
FAMILIES: dict[str, Draw] = {
    "verdicts": lambda random, mean, count: random.random((len(mean), count)) < mean[:, None],
    "probabilities": lambda random, mean, count: random.beta(*_beta(6, mean), (len(mean), count)),
    "sure probabilities": lambda random, mean, count: random.beta(*_beta(2, mean), (len(mean), count)),
    "alike probabilities": lambda random, mean, count: random.beta(*_beta(30, mean), (len(mean), count)),
    "four verdicts a prompt": lambda random, mean, count: (
        random.binomial(4, random.beta(*_beta(2, mean), (len(mean), count))) / 4
    ),
}
"""A prompt's values by the mean of all, (runs,): (runs, count)."""


def _beta(concentration: float, mean: Any) -> tuple[Any, Any]:
    return concentration * mean[:, None], concentration * (1 - mean[:, None])


@pytest.mark.parametrize("count", [8, 16, 32, 128, 512])
@pytest.mark.parametrize("around", [(0.4, 0.6), (0.9, 0.98)])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_interval_covers_the_mean_95_times_in_100(family: str, around: tuple[float, float], count: int) -> None:
    """On average over means in a neighbourhood: of a few coins, an interval covers one mean 90 times in 100 and the
    next one 98 times, whatever it is."""
    random = np.random.default_rng(3)
    truth = random.uniform(*around, 4000 if count < 100 else 1500)
    low, high = mean_interval(FAMILIES[family](random, truth, count))
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


@given(st.integers(1, 3000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_of_wins_and_losses_is_wilsons(wins: tuple[int, int]) -> None:
    won, count = wins
    expected = binomtest(won, count).proportion_ci(0.95, method="wilson")
    low, high = mean_interval([1.0] * won + [0.0] * (count - won))
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-8)


VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(VALUES)
def test_the_interval_holds_the_mean_and_stays_within_bounds(values: list[float]) -> None:
    low, high = mean_interval(values)
    assert 0 <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= 1


@given(VALUES)
def test_losses_have_the_interval_of_wins_seen_from_the_other_side(values: list[float]) -> None:
    low, high = mean_interval(values)
    other_low, other_high = mean_interval([1 - value for value in values])
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-6)


def test_many_samples_are_those_of_each() -> None:
    samples = np.random.default_rng(0).random((2, 3, 10))
    low, high = mean_interval(samples)
    assert low.shape == high.shape == (2, 3)
    assert (low[1, 2], high[1, 2]) == pytest.approx(mean_interval(samples[1, 2]))


def test_probabilities_near_each_other_leave_less_open_than_coins() -> None:
    spread = np.random.default_rng(0).normal(0.55, 0.05, 200)
    low, high = mean_interval(spread)
    assert high - low == pytest.approx(2 * 1.96 * spread.std() / np.sqrt(200), rel=0.03)


def test_the_standard_error_is_that_of_the_mean() -> None:
    assert standard_error([1.0, 2.0, 4.0]) == pytest.approx(np.sqrt((16 + 1 + 25) / 9 / 2 / 3))
    assert standard_error([1.0]) is None


@pytest.mark.parametrize("count", [16, 80, 500])
@pytest.mark.parametrize("around", [(0.3, 0.7), (0.85, 0.95)])
def test_the_interval_of_a_ratio_covers_it_95_times_in_100(around: tuple[float, float], count: int) -> None:
    """Two games a question that are alike, of weights that depend on who wins."""
    random, covered, runs = np.random.default_rng(5), 0, 400
    for _ in range(runs):
        mean = random.uniform(*around)
        square = mean * (1 - mean) / 4 + mean**2  # of a chance, on average
        truth = (1.6 * mean + 0.8 * square) / (1.6 + 0.8 * mean)
        chance = random.beta(3 * mean, 3 * (1 - mean), count)
        weights = np.where(random.random((2, count)) < 0.3 + 0.4 * chance, 3, 1)
        wins = random.random((2, count)) < chance
        interval = ratio_interval((weights * wins).sum(axis=0), weights.sum(axis=0))
        covered += interval.low <= truth <= interval.high
    assert 0.92 <= covered / runs <= 0.98


@given(VALUES)
def test_of_units_of_one_weight_the_ratio_is_the_mean(values: list[float]) -> None:
    weights = [2.0] * len(values)
    interval = ratio_interval([2 * value for value in values], weights)
    assert 0 <= interval.low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= interval.high <= 1
    assert interval.error == pytest.approx(standard_error(values))
