"""Agreement with labels: every figure on pairs whose answer is known."""

import numpy as np
import pytest

from nashflow.components.benchmarks.intervals import mean_interval
from nashflow.components.quality.agreement import (
    by_group,
    difference,
    hits,
    kappa,
    ratings,
    share,
)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_accuracy_counts_no_decision_as_half() -> None:
    right = hits(array(1, 1, 0, 0), array(1, 0, 0, 0.5))
    assert right.tolist() == [1, 0, 1, 0.5]


def test_each_prompt_counts_as_one() -> None:
    found = share(array(1, 1, 1, 0), np.array([7, 7, 7, 3]))
    assert found is not None
    assert by_group(array(1, 1, 1, 0), np.array([7, 7, 7, 3])).tolist() == [0, 1]
    low, high = mean_interval([0.0, 1.0])
    assert tuple(found) == (0.5, float(low), float(high))
    assert share(array(), np.array([])) is None


def test_a_difference_is_paired() -> None:
    """Two judges that err on the same pairs differ by nothing, however many those are."""
    groups = np.arange(60)
    errs = (groups % 3 > 0).astype(float)
    same = difference(errs, errs, groups)
    assert same.value == 0
    assert -0.1 < same.low < 0 < same.high < 0.1
    better = difference(np.ones(60), errs, groups)
    assert better.value == pytest.approx(1 / 3)
    assert 0 < better.low < 1 / 3 < better.high
    assert difference(errs, np.ones(60), groups) == pytest.approx((-better.value, -better.high, -better.low))


def test_kappa_of_two_decisions_is_twice_the_agreement_less_one() -> None:
    label, decision = np.ones(10), array(1, 1, 1, 1, 1, 1, 1, 0, 0, 0)
    assert kappa(label, decision) == pytest.approx(2 * 0.7 - 1)
    assert kappa(1 - label, 1 - decision) == pytest.approx(2 * 0.7 - 1)
    assert kappa(label, label) == 1


def test_kappa_counts_ties_as_a_decision() -> None:
    """Of four pairs they agree on three. Ties are 1/4 of the one's decisions and none of the other's, so by chance they
    agree on 2 · 3/8 · 1/2 of them."""
    assert kappa(array(1, 0, 1, 0.5), array(1, 0, 1, 1)) == pytest.approx((3 / 4 - 3 / 8) / (1 - 3 / 8))


def test_kappa_is_unknown_where_chance_explains_all() -> None:
    assert kappa(array(0.5, 0.5), array(0.5, 0.5)) is None
    assert kappa(array(), array()) is None


def test_ratings_of_two_players_are_the_log_odds() -> None:
    """3 wins of 4: σ(θ_a − θ_b) = 3/4, and the mean is 0."""
    found = ratings([("a", "b")] * 3 + [("b", "a")], array(1, 1, 1, 1))
    assert found is not None
    assert found["a"] == pytest.approx(np.log(3) / 2, abs=1e-3)
    assert found["b"] == pytest.approx(-np.log(3) / 2, abs=1e-3)
    even = ratings([("a", "b")] * 2, array(0.5, 0.5))
    assert even == pytest.approx({"a": 0, "b": 0}, abs=1e-9)


def test_ratings_order_players_that_have_never_lost() -> None:
    found = ratings([("a", "b"), ("b", "c"), ("c", "d")], array(1, 1, 1))
    assert found is not None
    assert sorted(found, key=lambda name: -found[name]) == ["a", "b", "c", "d"]


def test_players_that_are_not_connected_have_no_ratings() -> None:
    assert ratings([("a", "b"), ("c", "d")], array(1, 1)) is None
    assert ratings([], array()) is None
