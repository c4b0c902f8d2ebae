import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.games.preference import Array, Game, log_normalise
from nashflow.components.games.regression import NoFiniteMinimiser, logistic_minimiser, squared_minimiser
from nashflow.components.games.updates import inpo, iterative_dpo
from nashflow.components.shared.errors import UserError
from tests.fixtures.games import random_matrix, random_policy, seeds


def weighted_least_squares(base: Array, sampler: Array, matrix: Array, target: float) -> Array:
    """The same minimiser by brute force: one row for each ordered pair, weighted with its probability of being seen."""
    count = len(base)
    winner, loser = (grid.ravel() for grid in np.indices((count, count)))
    design = np.eye(count)[winner] - np.eye(count)[loser]
    weight = np.sqrt(np.exp(sampler[winner] + sampler[loser]) * 2 * matrix[winner, loser])
    ratio = np.linalg.lstsq(design * weight[:, None], weight * target, rcond=None)[0]
    return log_normalise(base + ratio)


def logistic_loss(policy: Array, base: Array, sampler: Array, matrix: Array, beta: float, smoothing: float) -> float:
    """E[-(1 - s) log sigmoid(beta h) - s log sigmoid(-beta h)] over ordered pairs of winner and loser."""
    ratio = policy - base
    margin = beta * (ratio[:, None] - ratio[None, :])
    loss = (1 - smoothing) * np.logaddexp(0, -margin) + smoothing * np.logaddexp(0, margin)
    return float((np.exp(sampler[:, None] + sampler[None, :]) * matrix * loss).sum())


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


@given(seeds)
def test_inpos_anchors_and_target_give_inpos_update(seed: int) -> None:
    random = np.random.default_rng(seed)
    tau, eta = 0.1, 0.5
    game = Game(random_matrix(random, 6), random_policy(random, 6), tau)
    policy = random_policy(random, 6)
    base = tau / eta * game.log_reference + (1 - tau / eta) * policy
    np.testing.assert_allclose(
        squared_minimiser(base, policy, game.matrix, 1 / (2 * eta)), inpo(game, policy, eta), atol=1e-12
    )


@given(seeds, st.sampled_from(["moving", "fixed"]), st.floats(0.05, 5))
def test_logistic_minimiser_is_the_iterative_dpo_update(seed: int, anchor: str, beta: float) -> None:
    random = np.random.default_rng(seed)
    matrix = random_matrix(random, 6)
    reference, policy = random_policy(random, 2, 6)
    base = policy if anchor == "moving" else reference
    np.testing.assert_allclose(
        logistic_minimiser(base, policy, matrix, beta), iterative_dpo(matrix, policy, base, beta), atol=1e-9 / beta
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
        slope = (loss(1e-4 * direction) - loss(-1e-4 * direction)) / 2e-4
        assert slope == pytest.approx(0, abs=1e-9)
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
