import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nashflow.components.benchmarks.base import Figure
from nashflow.components.benchmarks.intervals import even_p_value, mean_interval
from nashflow.components.benchmarks.shares import Shares, difference_p_value, means
from nashflow.components.benchmarks.shares import difference as paired_difference
from nashflow.components.reports.comparison.differences import (
    Difference,
    Value,
    corrected,
    difference,
    difference_over_seeds,
)

SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=40)


@given(SHARES)
def test_the_p_value_is_below_5_percent_exactly_where_the_interval_leaves_a_half_out(values: list[float]) -> None:
    low, high = mean_interval(values)
    p = even_p_value(values)
    assert 0 <= p <= 1
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (low > 0.5 or high < 0.5)


@given(SHARES, st.floats(0.1, 0.9))
def test_means_of_the_same_prompts_pair(values: list[float], shift: float) -> None:
    """A run that is better by the same on each prompt is surely better, however much prompts differ."""
    mine, its = (means({place: (value + more) / 2 for place, value in enumerate(values)}) for more in (0, shift))
    base, other = Value(float(np.mean(values)) / 2, shares=mine), Value(0.0, shares=its)
    found = difference(base, other)
    assert found.value == pytest.approx(shift / 2)
    assert found.pairs == len(values)
    assert found.low is not None
    assert found.low <= found.value <= (found.high or 0)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 4)), min_size=3, max_size=30))
def test_ratios_are_tested_as_their_interval_says(rows: list[tuple[float, float, int]]) -> None:
    """Questions with several answers each, and one that the second policy lacks."""
    one = Shares({place: (a * weight, weight) for place, (a, _, weight) in enumerate(rows)})
    other = Shares({place: (b * weight, weight) for place, (_, b, weight) in enumerate(rows[1:], start=1)})
    p, found = difference_p_value(one, other), paired_difference(one, other)
    assert p is not None
    assert found is not None
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (found.low > 0 or found.high < 0)


def test_means_of_other_prompts_do_not_pair() -> None:
    shares = means(dict(enumerate([0.1, 0.9, 0.5])))
    found = difference(Value(0.5, 0.2, 0.8, shares, "here"), Value(0.6, 0.3, 0.9, shares, "there"))
    assert found.pairs == 0
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1 - math.hypot(0.3, 0.3))


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 2), st.floats(0.01, 2))
def test_figures_with_standard_errors_have_the_usual_normal_test(a: float, b: float, s: float, t: float) -> None:
    z = stats.norm.ppf(0.975)
    found = difference(Value(a, a - z * s, a + z * s), Value(b, b - z * t, b + z * t))
    error = math.hypot(s, t)
    assert found.low == pytest.approx(b - a - z * error)
    assert found.high == pytest.approx(b - a + z * error)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(b - a) / error))


def test_a_figure_without_error_has_a_difference_and_no_verdict() -> None:
    found = difference(Value(1.0), Value(1.5, 1.0, 2.0))
    assert (found.value, found.low, found.p) == (0.5, None, None)
    assert found.verdict(Figure("gap", better="lower")) == "no interval"


def test_seeds_that_are_the_same_pair_and_others_have_welchs_test() -> None:
    base, other = {0: 1.0, 1: 2.0, 2: 4.0}, {0: 1.2, 1: 2.3, 2: 4.1}
    paired = difference_over_seeds(base, other)
    known = stats.ttest_rel([*other.values()], [*base.values()])
    assert paired.pairs == 3
    assert paired.p == pytest.approx(known.pvalue)
    assert (paired.low, paired.high) == pytest.approx(tuple(known.confidence_interval()))
    welch = difference_over_seeds(base, {5: 1.2, 6: 2.3, 7: 4.1, 8: 0.5})
    known = stats.ttest_ind([1.2, 2.3, 4.1, 0.5], [*base.values()], equal_var=False)
    assert welch.pairs == 0
    assert welch.p == pytest.approx(known.pvalue)
    assert (welch.low, welch.high) == pytest.approx(tuple(known.confidence_interval()))


def test_one_seed_tells_no_spread() -> None:
    assert difference_over_seeds({0: 1.0}, {0: 2.0, 1: 3.0}) == Difference(1.5)


def test_equal_values_of_all_seeds_are_no_division_by_zero() -> None:
    assert difference_over_seeds({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}).p == 1.0
    assert difference_over_seeds({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}).p == 0.0


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=6))
def test_holm_rejects_what_the_definition_rejects(ps: list[float | None]) -> None:
    """H is rejected at α if its p, and each smaller one, is at most α over the number of those not smaller."""
    found = corrected([None if p is None else Difference(1.0, p=p) for p in ps])
    known = sorted(p for p in ps if p is not None)
    for p, each in zip(ps, found, strict=True):
        if p is None:
            assert each is None
            continue
        for alpha in (0.01, 0.05, 0.3):
            below = itertools.takewhile(lambda q, p=p: q <= p, known)
            rejected = all(q * (len(known) - rank) <= alpha for rank, q in enumerate(below))
            assert each is not None
            assert each.p is not None
            if all(abs(q * (len(known) - rank) - alpha) > 1e-9 for rank, q in enumerate(known)):
                assert (each.p <= alpha) == rejected


@pytest.mark.slow
def test_paired_tests_of_equal_runs_err_in_5_percent_at_most() -> None:
    """With correlated prompts, as two policies of one world have them."""
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(4000):
        prompt = random.beta(2, 2, 128)
        ours, theirs = (np.clip(prompt + random.normal(0, 0.15, 128), 0, 1) for _ in range(2))
        missed += even_p_value((1 + ours - theirs) / 2) < 0.05
    assert missed / 4000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_verdicts_know_the_better_direction() -> None:
    up, down = Difference(0.1, p=0.01), Difference(-0.1, p=0.01)
    win, gap, length = Figure("w", better="higher"), Figure("g", better="lower"), Figure("l")
    said = [[each.verdict(figure) for figure in (win, gap, length)] for each in (up, down)]
    assert said == [["better", "worse", "higher"], ["worse", "better", "lower"]]
    assert Difference(0.1, p=0.2).verdict(win) == "not shown to differ"
    assert Difference(0.0).verdict(win) == "equal"
