"""Two judges on the same answers: their rank correlation, and what its interval covers."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from nashflow.components.benchmarks.correlation import correlation, spearman

Judge = Callable[[np.ndarray], np.ndarray]
JUDGES: dict[str, tuple[Judge, Judge]] = {
    "probabilities": (lambda seen: 1 / (1 + np.exp(-seen)), lambda seen: 1 / (1 + np.exp(-seen))),
    "five verdicts": (lambda seen: np.clip(np.round(seen), -2, 2), lambda seen: np.clip(np.round(seen), -2, 2)),
    "probabilities and wins": (lambda seen: 1 / (1 + np.exp(-seen)), lambda seen: (seen > 0).astype(float)),
}
"""What two judges make of what they see."""


def seen(random: np.random.Generator, true: float, shape: tuple[int, ...]) -> list[np.ndarray]:
    """What two judges see of answers, correlated as `true` says."""
    shared, one, other = random.normal(size=(3, *shape))
    return [np.sqrt(true) * shared + np.sqrt(1 - true) * own for own in (one, other)]


@pytest.mark.parametrize("count", [20, 200])
@pytest.mark.parametrize("true", [0.0, 0.8])
@pytest.mark.parametrize("kinds", JUDGES)
def test_the_interval_covers_the_correlation_95_times_in_100(kinds: str, true: float, count: int) -> None:
    random = np.random.default_rng(7)
    first, second = JUDGES[kinds]
    one, other = seen(random, true, (50_000,))
    truth = spearman(first(one), second(other))
    covered = []
    for _ in range(300):
        one, other = seen(random, true, (count,))
        if found := correlation(first(one), second(other)):
            covered.append(found.low <= truth <= found.high)
    assert len(covered) > 290
    assert 0.92 <= np.mean(covered) <= 0.99


def test_it_is_spearmans() -> None:
    one, other = seen(np.random.default_rng(1), 0.5, (50,))
    found = correlation(one, other)
    assert found is not None
    assert found.value == pytest.approx(spearmanr(one, other).statistic, abs=1e-9)
    assert found.answers == 50
    assert -1 <= found.low < found.value < found.high <= 1


def test_judges_that_agree_throughout_and_that_never_do() -> None:
    same, turned = correlation(range(20), range(20)), correlation(range(20), range(20, 0, -1))
    assert same is not None
    assert turned is not None
    assert same.value == same.high == pytest.approx(1)
    assert turned.value == turned.low == pytest.approx(-1)


def test_none_where_nothing_can_be_said() -> None:
    assert correlation(range(9), range(9)) is None
    assert correlation([0.5] * 20, range(20)) is None


def test_a_rating_has_ranks_from_three_things_on() -> None:
    assert spearman([1, 2, 3, 9], [10, 20, 30, 31]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 2, 3], [1, 1, 1]) is None
