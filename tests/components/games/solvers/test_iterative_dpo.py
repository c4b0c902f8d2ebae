"""Iterative DPO: rewards come back where preferences have some, and on cycles it runs away."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Game, duality_gap
from nashflow.components.games.solvers import make_solver
from tests.fixtures.games import ROCK_PAPER_SCISSORS, SKEWED, family_games, fifty_games, play


def test_bradley_terry_games_give_their_rewards_back() -> None:
    """Twenty games: beta times each log-ratio is the rewards up to a constant, whoever generated the pairs."""
    game, beta = family_games("bradley_terry", 0.0), 0.5
    rewards = np.log(game.matrix[..., 0] / (1 - game.matrix[..., 0]))  # relative to that of response 0
    policies = play("iterative_dpo", game, 3, beta=beta)
    for policy, following in pairwise(policies):
        fitted = beta * (following - policy)
        np.testing.assert_allclose(fitted - fitted[:, :1], rewards, atol=1e-10)


def test_with_a_fixed_reference_it_stands_still_after_one_iteration_of_such_games() -> None:
    game = family_games("bradley_terry", 0.0)
    _, first, second, third = play("iterative_dpo", game, 3, beta=0.5, reference="fixed")
    np.testing.assert_allclose(first, second, atol=1e-10)
    np.testing.assert_allclose(first, third, atol=1e-10)


def test_expected_and_actual_wins_balance_under_general_preferences() -> None:
    game, beta, smoothing = fifty_games(0.0), 0.7, 0.1
    policies = play("iterative_dpo", game, 3, beta=beta, label_smoothing=smoothing)
    for policy, following in pairwise(policies):
        reward = beta * (following - policy)
        predicted = 1 / (1 + np.exp(reward[:, None, :] - reward[:, :, None]))
        labels = (1 - smoothing) * game.matrix + smoothing * np.swapaxes(game.matrix, 1, 2)
        imbalance = ((predicted - labels) * np.exp(policy)[:, None, :]).sum(axis=-1)
        np.testing.assert_allclose(imbalance, 0, atol=1e-10)


@pytest.mark.parametrize("reference", ["moving", "fixed"])
def test_the_base_is_the_policy_or_the_reference(reference: str) -> None:
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.0)
    _, first, second = play("iterative_dpo", game, 2, beta=2.0, reference=reference)
    base = first if reference == "moving" else SKEWED
    restarted = play("iterative_dpo", Game(ROCK_PAPER_SCISSORS, first, 0.0), 1, beta=2.0)[1]
    np.testing.assert_allclose(second - base, restarted - first + (second - base - restarted + first)[0], atol=1e-10)


def test_moving_it_circles_away_from_the_equilibrium_of_every_cycle() -> None:
    for family in ("rock_paper_scissors", "cyclic"):
        game = family_games(family, 0.0)
        start, end = (duality_gap(game, play("iterative_dpo", game, count)[-1]) for count in (0, 200))
        assert end.mean() > 1.5 * start.mean()
    game = Game(ROCK_PAPER_SCISSORS, np.log([0.4, 0.3, 0.3]), 0.0)
    assert duality_gap(game, play("iterative_dpo", game, 60, beta=4.0)[-1]) > 3 * duality_gap(game, game.log_reference)


def test_certain_winners_have_no_finite_reward() -> None:
    game = Game(np.array([[0.5, 1.0], [0.0, 0.5]]), np.log([0.5, 0.5]), 0.0)
    with pytest.raises(UserError, match="no finite minimiser"):
        play("iterative_dpo", game, 1)
    assert play("iterative_dpo", game, 1, label_smoothing=0.1)[1][0] > np.log(0.5)


def test_its_constants_have_bounds() -> None:
    with pytest.raises(UserError, match=r"label_smoothing: .*less than 0\.5"):
        make_solver("iterative_dpo", {"label_smoothing": 0.5})
