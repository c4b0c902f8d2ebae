from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Array, kl_divergence, log_normalise, win_rates
from nashflow.components.games.regression import (
    NoFiniteMinimiser,
    logistic_minimiser,
    squared_minimiser,
    unpaired_minimiser,
)
from tests.fixtures.games import random_matrix, random_policy, seeds, weighted_least_squares


def logistic_loss(
    policy: Array, base: Array, sampler: Array, matrix: Array, beta: float, smoothing: float, kept: Array | float = 1.0
) -> float:
    """E[-(1 - s) log sigmoid(beta h) - s log sigmoid(-beta h)] over the kept ordered pairs of winner and loser."""
    ratio = policy - base
    margin = beta * (ratio[:, None] - ratio[None, :])
    loss = (1 - smoothing) * np.logaddexp(0, -margin) + smoothing * np.logaddexp(0, margin)
    return float((np.exp(sampler[:, None] + sampler[None, :]) * kept * matrix * loss).sum())


def slope(loss: Callable[[Array], float], direction: Array) -> float:
    """A loss's slope at its centre, by central differences over 3e-5.

    A logistic loss's third derivative is at most β³ / (6 √3), so for β up to 2 this is off by less than 1.2e-10; the
    rounding of losses up to 12, some 6e-15, adds 2e-10.
    """
    return (loss(3e-5 * direction) - loss(-3e-5 * direction)) / 6e-5


@given(seeds, st.floats(0.05, 5))
def test_squared_minimiser_is_the_weighted_least_squares_solution(seed: int, target: float) -> None:
    random = np.random.default_rng(seed)
    matrix = random_matrix(random, 5)
    base, sampler = random_policy(random, 2, 5)
    np.testing.assert_allclose(
        squared_minimiser(base, sampler, matrix, target),
        weighted_least_squares(base, sampler, matrix, target),
        atol=1e-10,
    )


@given(seeds)
def test_soft_labels_have_the_same_minimiser(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix, target = random_matrix(random, 5), 0.8
    base, sampler = random_policy(random, 2, 5)
    first, second = np.triu_indices(5, k=1)
    design = np.eye(5)[first] - np.eye(5)[second]
    weight = np.exp((sampler[first] + sampler[second]) / 2)
    wanted = target * (2 * matrix[first, second] - 1)
    ratio = np.linalg.lstsq(design * weight[:, None], weight * wanted, rcond=None)[0]
    np.testing.assert_allclose(
        squared_minimiser(base, sampler, matrix, target), log_normalise(base + ratio), atol=1e-10
    )


@given(seeds, st.floats(0.1, 2), st.floats(0, 0.4))
def test_logistic_minimiser_is_stationary_for_the_loss_itself(seed: int, beta: float, smoothing: float) -> None:
    random = np.random.default_rng(seed)
    matrix = random_matrix(random, 4)
    base, sampler = random_policy(random, 2, 4)
    best = logistic_minimiser(base, sampler, matrix, beta, smoothing)

    def loss(shift: Array) -> float:
        return logistic_loss(best + shift, base, sampler, matrix, beta, smoothing)

    for direction in np.eye(4):
        assert slope(loss, direction) == pytest.approx(0, abs=1e-9)
    assert all(loss(random.standard_normal(4) / 3) >= loss(np.zeros(4)) for _ in range(5))


@given(seeds)
@settings(max_examples=25)
def test_minimisers_solve_contexts_independently(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrices = np.stack([random_matrix(random, 4) for _ in range(3)])
    base, sampler = random_policy(random, 2, 3, 4)
    squared = squared_minimiser(base, sampler, matrices, 1.0)
    logistic = logistic_minimiser(base, sampler, matrices, 0.5, 0.1)
    for context in range(3):
        arguments = base[context], sampler[context], matrices[context]
        np.testing.assert_allclose(squared[context], squared_minimiser(*arguments, 1.0), atol=1e-13)
        np.testing.assert_allclose(logistic[context], logistic_minimiser(*arguments, 0.5, 0.1), atol=1e-12)


def test_label_smoothing_shrinks_margins() -> None:
    random = np.random.default_rng(3)
    matrix = random_matrix(random, 5)
    base, sampler = random_policy(random, 2, 5)
    spans = [np.ptp(logistic_minimiser(base, sampler, matrix, 1.0, smoothing) - base) for smoothing in (0, 0.1, 0.3)]
    assert spans == sorted(spans, reverse=True)
    np.testing.assert_allclose(logistic_minimiser(base, sampler, matrix, 1.0, 0.5), base, atol=1e-12)


def test_a_sampler_that_almost_never_shows_a_response_still_determines_it() -> None:
    rewards = np.array([0.0, 1.0, -2.0, 3.0])
    matrix = 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))
    sampler = log_normalise(np.array([0.0, -60.0, -300.0, -900.0]))
    ratio = logistic_minimiser(np.zeros(4), sampler, matrix, 1.0)
    np.testing.assert_allclose(ratio - ratio[0], rewards - rewards[0], atol=1e-11)


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[0.5, 1.0], [0.0, 0.5]]),
        # responses 0 and 1 always beat 2 and 3
        np.array([[0.5, 0.6, 1, 1], [0.4, 0.5, 1, 1], [0, 0, 0.5, 0.3], [0, 0, 0.7, 0.5]]),
        # thresholded labels of a transitive game
        np.triu(np.ones((3, 3)), k=1) + np.eye(3) / 2,
    ],
)
def test_responses_that_never_lose_leave_no_finite_minimiser(matrix: Array) -> None:
    uniform = np.log(np.full(len(matrix), 1 / len(matrix)))
    with pytest.raises(NoFiniteMinimiser, match=r"no finite minimiser.*label_smoothing above 0"):
        logistic_minimiser(uniform, uniform, matrix, 0.5)
    assert issubclass(NoFiniteMinimiser, UserError)
    smoothed = logistic_minimiser(uniform, uniform, matrix, 0.5, label_smoothing=0.1)
    assert np.isfinite(smoothed).all()
    assert smoothed[0] == smoothed.max()


@given(seeds)
def test_kept_pairs_weigh_the_loss(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix, beta = random_matrix(random, 5), 0.7
    base, sampler = random_policy(random, 2, 5)
    kept = np.triu(random.uniform(0.1, 1, (5, 5)))
    kept = kept + np.triu(kept, k=1).T
    best = logistic_minimiser(base, sampler, matrix, beta, 0.05, kept)

    def loss(shift: Array) -> float:
        return logistic_loss(best + shift, base, sampler, matrix, beta, 0.05, kept)

    for direction in np.eye(5):
        assert slope(loss, direction) == pytest.approx(0, abs=1e-9)
    assert all(loss(random.standard_normal(5) / 3) >= loss(np.zeros(5)) for _ in range(5))


@given(seeds)
def test_groups_that_are_never_compared_are_fitted_each_by_itself(seed: int) -> None:
    """Responses 0 to 2, 3 and 4, and 5 alone: a group is fitted as it would be alone, between them nothing moves."""
    random = np.random.default_rng(seed)
    matrix = random_matrix(random, 6)
    base, sampler = random_policy(random, 2, 6)
    groups = [[0, 1, 2], [3, 4], [5]]
    kept = np.zeros((6, 6))
    for group in groups:
        kept[np.ix_(group, group)] = 1
    ratio = logistic_minimiser(base, sampler, matrix, 0.7, kept=kept) - base
    shares = []
    for group in groups:
        alone = np.ix_(group, group)
        fitted = logistic_minimiser(np.zeros(len(group)), log_normalise(sampler[group]), matrix[alone], 0.7)
        np.testing.assert_allclose(ratio[group] - ratio[group[0]], fitted - fitted[0], atol=1e-9)
        shares.append(ratio[group] @ np.exp(log_normalise(sampler[group])))
    np.testing.assert_allclose(shares, shares[0], atol=1e-9)


def test_a_group_whose_verdicts_are_certain_has_no_finite_minimiser() -> None:
    matrix = np.array([[0.5, 1.0, 0.3], [0.0, 0.5, 0.3], [0.7, 0.7, 0.5]])
    uniform = np.log(np.full(3, 1 / 3))
    kept = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert np.isfinite(logistic_minimiser(uniform, uniform, matrix, 0.5)).all()
    with pytest.raises(NoFiniteMinimiser, match="no finite minimiser"):
        logistic_minimiser(uniform, uniform, matrix, 0.5, kept=kept)


def bisected(wanted: Array, sampler: Array) -> Array:
    """argmin of E_mu (log pi - wanted)^2 over policies, by two nested bisections: for each multiplier, each log pi."""

    def policy(multiplier: float) -> Array:
        low, high = wanted - multiplier * np.exp(wanted - sampler), wanted.copy()
        for _ in range(80):
            middle = (low + high) / 2
            over = middle + multiplier * np.exp(middle - sampler) > wanted
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return high

    low, high = 0.0, 1e6
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(policy(middle)).sum() > 1 else (low, middle)
    return policy(high)


@given(seeds, st.floats(0.01, 10))
@settings(max_examples=15)
def test_unpaired_minimiser_is_the_one_that_bisection_finds(seed: int, target: float) -> None:
    random = np.random.default_rng(seed)
    matrix, sampler = random_matrix(random, 5), random_policy(random, 5)
    wanted = sampler + target * (2 * win_rates(matrix, sampler) - 1)
    found = unpaired_minimiser(sampler, sampler, matrix, target)
    np.testing.assert_allclose(found, bisected(wanted, sampler), atol=1e-7)
    rivals = [log_normalise(found + distance * random.standard_normal(5)) for distance in (1e-3, 0.1, 1) for _ in "abc"]
    losses = [float(np.exp(sampler) @ (policy - wanted) ** 2) for policy in (found, *rivals)]
    assert min(losses) == losses[0]


def test_unpaired_minimiser_of_another_base() -> None:
    """A base that the sampler's own mass lies below is admitted; one without mass there makes no convex problem."""
    random = np.random.default_rng(5)
    matrix, sampler = random_matrix(random, 5), random_policy(random, 5)
    base = sampler + 0.3
    wanted = base + 0.8 * (2 * win_rates(matrix, sampler) - 1)
    np.testing.assert_allclose(unpaired_minimiser(base, sampler, matrix, 0.8), bisected(wanted, sampler), atol=1e-9)
    with pytest.raises(ValueError, match="too little mass"):
        unpaired_minimiser(sampler - 3, sampler, matrix, 0.8)


@pytest.mark.parametrize("target", [0.0, 1e-9, 1e-3, 1.0, 1e2, 1e4])
def test_unpaired_minimiser_at_every_scale(target: float) -> None:
    """From no update at all to a hard maximum, for likely and for rare responses, contexts side by side."""
    random = np.random.default_rng(6)
    matrices = np.stack([random_matrix(random, 5) for _ in range(20)])
    sampler = log_normalise(np.linspace(0, -50, 5) * random.uniform(0, 1, (20, 1)))
    found = unpaired_minimiser(sampler, sampler, matrices, target)
    wanted = sampler + target * (2 * win_rates(matrices, sampler) - 1)
    multiplier = kl_divergence(sampler, found)[:, None]
    residual = found + multiplier * np.exp(found - sampler) - wanted
    np.testing.assert_allclose(residual, 0, atol=1e-11 * max(1.0, target))
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, atol=1e-14)
    alone = [unpaired_minimiser(row, row, matrix, target) for row, matrix in zip(sampler, matrices, strict=True)]
    np.testing.assert_allclose(found, alone, atol=1e-10)


def test_certain_verdicts_that_form_a_cycle_do_have_a_minimiser() -> None:
    cycle = np.array([[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]])
    uniform = np.log(np.full(3, 1 / 3))
    np.testing.assert_allclose(logistic_minimiser(uniform, uniform, cycle, 0.5), uniform, atol=1e-12)


def test_sampled_pairs_come_closer_with_the_root_of_their_number() -> None:
    random = np.random.default_rng(4)
    matrix = random_matrix(random, 3)
    base, sampler = random_policy(random, 2, 3)
    exact = squared_minimiser(base, sampler, matrix, 1.0)

    def error(count: int) -> float:
        first, second = random.choice(3, (2, count), p=np.exp(sampler))
        first_wins = random.random(count) < matrix[first, second]
        winner, loser = np.where(first_wins, first, second), np.where(first_wins, second, first)
        ratio = np.linalg.lstsq(np.eye(3)[winner] - np.eye(3)[loser], np.ones(count), rcond=None)[0]
        return float(np.abs(log_normalise(base + ratio) - exact).max())

    few, many = (np.mean([error(count) for _ in range(50)]) for count in (1_000, 16_000))
    assert 3 < few / many < 5.5
    assert many < 0.05
