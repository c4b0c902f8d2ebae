import numpy as np
import pytest
from hypothesis import given, settings

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import fixed_point_residual, nash_policy
from nashflow.components.games.preference import Game, best_response, duality_gap, payoff
from tests.fixtures.games import (
    ROCK_PAPER_SCISSORS,
    SKEWED,
    family_games,
    family_names,
    random_game,
    random_matrix,
    random_policy,
    seeds,
)


@pytest.mark.parametrize(
    ("tau", "expected"),
    [
        (0.01, [0.339770, 0.317034, 0.343196]),
        (0.1, [0.446578, 0.187854, 0.365568]),
        (1.0, [0.714903, 0.159240, 0.125857]),
    ],
)
def test_rock_paper_scissors_with_a_skewed_reference(tau: float, expected: list[float]) -> None:
    nash = nash_policy(Game(ROCK_PAPER_SCISSORS, SKEWED, tau))
    np.testing.assert_allclose(np.exp(nash), expected, atol=5e-7)


@given(seeds)
@settings(max_examples=30)
def test_the_nash_policy_is_its_own_best_response_and_has_no_gap(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    nash = nash_policy(game)
    assert np.exp(nash).sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(best_response(game, nash), nash, atol=1e-12 / game.tau)
    assert duality_gap(game, nash) < 1e-14
    assert fixed_point_residual(game, nash) < 2e-14
    rival = random_policy(random, len(nash))
    assert payoff(game, rival, nash) <= 0.5 + 1e-14


@given(seeds)
@settings(max_examples=20)
def test_newtons_method_finds_the_same_policy(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random, tau=0.7)
    excess = np.zeros(len(game.matrix))  # log (pi / ref), up to a constant
    for _ in range(50):
        unnormalised = np.exp(game.log_reference + excess)
        policy = unnormalised / unnormalised.sum()
        residual = excess - game.matrix @ policy / game.tau
        jacobian = np.eye(len(policy)) - game.matrix @ (np.diag(policy) - np.outer(policy, policy)) / game.tau
        excess = excess - np.linalg.solve(jacobian, residual)
    np.testing.assert_allclose(np.exp(nash_policy(game)), policy, atol=1e-13)


def test_contexts_are_solved_together_as_they_are_alone() -> None:
    random = np.random.default_rng(0)
    matrices = np.stack([random_matrix(random, 5) for _ in range(4)])
    reference = random_policy(random, 4, 5)
    together = nash_policy(Game(matrices, reference, 0.2))
    alone = [nash_policy(Game(matrix, row, 0.2)) for matrix, row in zip(matrices, reference, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-13)


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("tau", [0.005, 0.05, 1.0])
def test_every_game_of_every_family_is_solved(family: str, tau: float) -> None:
    game = family_games(family, tau)
    nash = nash_policy(game)
    assert fixed_point_residual(game, nash).max() < 4e-14
    assert duality_gap(game, nash).max() < 1e-14


def test_a_tiny_regularisation_is_solved_too() -> None:
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 1e-3)
    nash = nash_policy(game)
    np.testing.assert_allclose(np.exp(nash), 1 / 3, atol=2e-3)
    assert duality_gap(game, nash) < 1e-12


def test_the_residual_tells_how_far_a_policy_is() -> None:
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1)
    nash = nash_policy(game)
    assert fixed_point_residual(game, nash) <= 2e-14
    assert fixed_point_residual(game, SKEWED) == pytest.approx(0.70 - 0.26)


def test_a_game_without_regularisation_has_no_unique_nash_policy() -> None:
    with pytest.raises(UserError, match="set tau > 0"):
        nash_policy(Game(ROCK_PAPER_SCISSORS, SKEWED, 0.0))


def test_an_equilibrium_that_is_not_reached_is_never_returned() -> None:
    with pytest.raises(RuntimeError, match=r"residual .* after 3 iterations at tau = 0\.01"):
        nash_policy(Game(ROCK_PAPER_SCISSORS, SKEWED, 0.01), limit=3)
