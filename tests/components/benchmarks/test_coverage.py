"""What the intervals of the benchmarks' scores cover, by simulation on verdicts such as judges give."""

from collections.abc import Callable

import numpy as np
import pytest

from nashflow.components.benchmarks.intervals import ratio_interval

Sums = tuple[np.ndarray, np.ndarray]
_RUNS, _MANY = 500, 200_000


def games(random: np.random.Generator, count: int, strength: float) -> Sums:
    """Points won and played in two games a question: both go by how the question suits the policy."""
    suits = random.normal(strength, 1.0, (count, 1)) + random.normal(0.0, 0.7, (count, 2))
    weights = np.where(np.abs(suits) > 1.2, 3.0, 1.0)
    results = np.where(np.abs(suits) < 0.3, 0.5, suits > 0)
    weights[random.random((count, 2)) < 0.03] = 0.0  # no verdict
    return (results * weights).sum(axis=1), weights.sum(axis=1)


def grades(random: np.random.Generator, count: int, strength: float) -> Sums:
    """Grades over 10 of two turns a question, of which some are missing."""
    seen = random.normal(6 + 2 * strength, 1.5, (count, 1)) + random.normal(0.0, 1.5, (count, 2))
    given = np.clip(np.round(seen), 1, 10) / 10
    known = random.random((count, 2)) > 0.05
    return (given * known).sum(axis=1), known.sum(axis=1).astype(float)


@pytest.mark.parametrize("count", [20, 80, 500])
@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5])
@pytest.mark.parametrize("draw", [games, grades])
def test_the_interval_of_a_ratio_covers_it_95_times_in_100(
    draw: Callable[[np.random.Generator, int, float], Sums], strength: float, count: int
) -> None:
    random = np.random.default_rng(5)
    sums, weights = draw(random, _MANY, strength)
    truth, covered = sums.sum() / weights.sum(), []
    for _ in range(_RUNS):
        sums, weights = draw(random, count, strength)
        known = weights > 0
        found = ratio_interval(sums[known], weights[known])
        covered.append(found.low <= truth <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.98
