import numpy as np
import pytest
from hypothesis import given

from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import Game, best_response, duality_gap, kl_divergence, win_rates
from nashflow.components.games.updates import bradley_terry_rewards, inpo, iterative_dpo, mirror_step
from nashflow.components.shared.errors import UserError
from tests.fixtures.games import ROCK_PAPER_SCISSORS, SKEWED, random_game, random_matrix, random_policy, seeds

SKEWED_FIVE = np.log([0.5, 0.2, 0.15, 0.1, 0.05])


def games_of_three() -> list[Game]:
    random = np.random.default_rng(2)
    matrices = [ROCK_PAPER_SCISSORS, *(random_matrix(random, 3) for _ in range(3))]
    return [Game(matrix, SKEWED, 0.1) for matrix in matrices]


@given(seeds)
def test_a_mirror_step_maximises_its_proximal_objective(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    base, opponent, rival = random_policy(random, 3, len(game.matrix))
    step = float(random.uniform(0.1, 1)) / game.tau
    stepped = mirror_step(game, base, opponent, step)

    def objective(policy: np.ndarray) -> float:
        """P(pi > opponent) - tau KL(pi || ref) - (1 / step - tau) KL(pi || base)."""
        proximal = (1 / step - game.tau) * kl_divergence(policy, base)
        win_rate = np.exp(policy) @ win_rates(game.matrix, opponent)
        return float(win_rate - game.tau * kl_divergence(policy, game.log_reference) - proximal)

    assert objective(stepped) >= objective(rival)
    np.testing.assert_allclose(
        mirror_step(game, base, opponent, 1 / game.tau), best_response(game, opponent), atol=1e-10
    )


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, np.inf, 10.1])
def test_steps_beyond_the_best_response_are_refused(step: float) -> None:
    with pytest.raises(UserError, match=r"outside \(0, 1 / tau\]"):
        mirror_step(Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1), SKEWED, SKEWED, step)


def test_inpo_stays_at_the_nash_policy() -> None:
    for game in games_of_three():
        nash = nash_policy(game)
        np.testing.assert_allclose(inpo(game, nash, eta=0.5), nash, atol=1e-12)


def test_inpo_with_growing_eta_keeps_its_last_iterate_bound() -> None:
    for game in games_of_three():
        nash, policy, largest_ratio = nash_policy(game), game.log_reference, 0.0
        for iteration in range(2000):
            policy = inpo(game, policy, eta=game.tau * (iteration + 2) / 2)
            largest_ratio = max(largest_ratio, float(np.abs(policy - game.log_reference).max()))
            constant = max(largest_ratio * game.tau, 1)
            bound = 32 * constant**2 / (game.tau**2 * (iteration + 2))
            assert kl_divergence(nash, policy) <= bound
        assert kl_divergence(nash, policy) < 1e-8


def test_inpo_with_fixed_eta_converges() -> None:
    for game in games_of_three():
        policy = game.log_reference
        for _ in range(2000):
            policy = inpo(game, policy, eta=1.0)
        assert duality_gap(game, policy) < 1e-12


def test_without_regularisation_the_average_converges_and_the_last_iterate_does_not() -> None:
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.0)
    iterations = 2000
    farthest = -SKEWED.min()  # max over policies of KL(policy || start)
    eta = np.sqrt(iterations / farthest)
    policy, total = SKEWED, np.zeros(3)
    for _ in range(iterations):
        total += np.exp(policy)
        policy = inpo(game, policy, eta)
    assert duality_gap(game, np.log(total / iterations)) <= 4 * np.sqrt(farthest / iterations)
    assert duality_gap(game, policy) > 0.3


@given(seeds)
def test_a_bradley_terry_matrix_gives_its_rewards_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    rewards = 1.5 * random.standard_normal(5)
    matrix = 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))
    policy = random_policy(random, 5)
    np.testing.assert_allclose(bradley_terry_rewards(matrix, policy), rewards - rewards.mean(), atol=1e-9)
    fixed = iterative_dpo(matrix, policy, SKEWED_FIVE, beta=0.5)
    expected = SKEWED_FIVE + rewards / 0.5
    np.testing.assert_allclose(fixed - fixed[0], expected - expected[0], atol=1e-9)


@given(seeds)
def test_fitted_rewards_balance_expected_and_actual_wins(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix, policy = random_matrix(random, 6), random_policy(random, 6)
    rewards = bradley_terry_rewards(matrix, policy)
    predicted = 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))
    np.testing.assert_allclose((predicted - matrix) @ np.exp(policy), 0, atol=1e-9)


def test_a_certain_winner_has_no_finite_reward() -> None:
    always = np.array([[0.5, 1.0], [0.0, 0.5]])
    with pytest.raises(UserError, match="strictly between 0 and 1"):
        bradley_terry_rewards(always, np.log([0.5, 0.5]))


def test_iterative_dpo_circles_away_from_the_equilibrium() -> None:
    game = Game(ROCK_PAPER_SCISSORS, np.log([0.4, 0.3, 0.3]), 0.0)
    policy = game.log_reference
    start = duality_gap(game, policy)
    for _ in range(60):
        policy = iterative_dpo(game.matrix, policy, policy, beta=4.0)
    assert duality_gap(game, policy) > 3 * start


def test_iterative_dpo_with_a_fixed_reference_forgets_where_it_was() -> None:
    """Under a Bradley-Terry oracle the minimiser depends on anchor and rewards, not on who generated the pairs."""
    rewards = np.array([0.3, -0.2, 0.6])
    matrix = 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))
    uniform = np.log(np.full(3, 1 / 3))
    fixed = [iterative_dpo(matrix, sampler, SKEWED, beta=0.5) for sampler in (SKEWED, uniform)]
    moving = [iterative_dpo(matrix, sampler, sampler, beta=0.5) for sampler in (SKEWED, uniform)]
    np.testing.assert_allclose(fixed[0], fixed[1], atol=1e-10)
    assert np.abs(moving[0] - moving[1]).max() > 0.1
