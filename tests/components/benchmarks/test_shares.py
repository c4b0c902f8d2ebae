"""Figures as ratios of sums over prompts, and their paired differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.benchmarks.intervals import mean_interval, ratio_interval
from nashflow.components.benchmarks.shares import Shares, difference, interval, means

PARTS = st.dictionaries(
    st.integers(0, 30),
    st.tuples(st.floats(0, 1), st.integers(1, 6)).map(lambda p: (p[0] * p[1], float(p[1]))),
    min_size=2,
)


def test_a_mean_has_the_interval_of_means_and_a_ratio_that_of_ratios() -> None:
    values = np.linspace(0.1, 0.8, 9)
    found = interval(means(dict(enumerate(values)), 100.0), 4)
    low, high = mean_interval(values, 4)
    assert found == pytest.approx((100 * values.mean(), 100 * float(low), 100 * float(high)))
    weights = np.tile([1.0, 3.0, 2.0], 3)
    ratio = ratio_interval(values * weights, weights)
    wide = interval(Shares(dict(enumerate(zip(values * weights, weights, strict=True)))))
    assert wide == pytest.approx(((values * weights).sum() / weights.sum(), ratio.low, ratio.high))


@given(PARTS, PARTS)
def test_a_difference_is_that_of_the_figures_and_turns_round(
    one: dict[int, tuple[float, float]], other: dict[int, tuple[float, float]]
) -> None:
    first, second = Shares(one, 100.0), Shares(other, 100.0)
    found, turned = difference(first, second), difference(second, first)
    assert found
    assert turned
    assert found.value == pytest.approx(interval(first).value - interval(second).value, abs=1e-9)
    assert turned == pytest.approx((-found.value, -found.high, -found.low), abs=1e-6)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


def test_what_is_common_to_both_cancels() -> None:
    """Of games that count unlike often, one policy wins a little more on each question, however much these differ."""
    rng = np.random.default_rng(1)
    rates, weights = rng.uniform(0, 0.9, 200), rng.integers(2, 7, 200).astype(float)
    one, other = (
        Shares({n: (float(rate * w), float(w)) for n, (rate, w) in enumerate(zip(each, weights, strict=True))}, 100.0)
        for each in (rates + 0.05, rates)
    )
    found = difference(one, other)
    assert found == pytest.approx((5.0, 5.0, 5.0))
    apart = interval(one)
    assert apart.high - apart.low > 5


def test_one_prompt_tells_no_difference() -> None:
    assert difference(means({1: 0.5}), means({1: 0.4})) is None


def test_intervals_of_differences_hold_as_often_as_they_say() -> None:
    """Two policies with common luck on each question; some judgments are missing, and weights are unlike."""
    rng, held, rounds = np.random.default_rng(7), 0, 600
    for _ in range(rounds):
        skill, weights = rng.beta(2, 2, 80), rng.choice([2.0, 4.0, 6.0], (2, 80))
        won = rng.binomial(weights.astype(int), np.clip(np.stack([skill + 0.05, skill - 0.05]), 0, 1))
        there = rng.random((2, 80)) < 0.95
        one, other = (
            Shares({n: (float(won[side, n]), float(weights[side, n])) for n in range(80) if there[side, n]})
            for side in (0, 1)
        )
        found = difference(one, other)
        assert found
        held += found.low <= 0.09976 <= found.high  # what is clipped takes 0.00024 away
    assert 0.93 * rounds <= held <= 0.975 * rounds
