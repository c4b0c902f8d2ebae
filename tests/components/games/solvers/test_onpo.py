"""ONPO: both losses, the one-shot form and optimistic multiplicative weights give its iterates; the average's bound."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.games.preference import Game, duality_gap, log_normalise, win_rates
from nashflow.components.games.progress import solve
from nashflow.components.games.solvers import make_solver
from tests.fixtures.games import (
    ROCK_PAPER_SCISSORS,
    SKEWED,
    family_games,
    family_names,
    fifty_games,
    play,
    weighted_least_squares,
)


def test_each_iterate_minimises_both_losses_and_the_one_shot_form() -> None:
    game, eta = fifty_games(0.0), 0.5
    policies = play("onpo", game, 4, eta=eta)
    auxiliary = game.log_reference
    for policy, following in pairwise(policies):
        one_shot = weighted_least_squares(auxiliary, policy, game.matrix, eta)
        auxiliary = weighted_least_squares(auxiliary, policy, game.matrix, eta / 2)
        second = weighted_least_squares(auxiliary, policy, game.matrix, eta / 2)
        np.testing.assert_allclose(following, second, atol=1e-10)
        np.testing.assert_allclose(following, one_shot, atol=1e-10)


def test_the_iterates_are_optimistic_multiplicative_weights() -> None:
    game, eta = fifty_games(0.0), 0.3
    policies = play("onpo", game, 30, eta=eta)
    rates = [win_rates(game.matrix, policy) for policy in policies]
    for t in range(1, 30):
        wanted = log_normalise(policies[t] + 2 * eta * rates[t] - eta * rates[t - 1])
        np.testing.assert_allclose(policies[t + 1], wanted, atol=1e-12)


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("iterations", [10, 100, 1000])
def test_the_average_keeps_its_bound_in_every_game(family: str, iterations: int) -> None:
    game, eta = family_games(family, 0.0), 0.5
    farthest = -game.log_reference.min(axis=-1)
    average = solve(make_solver("onpo", {"eta": eta}), game, iterations - 1, 0.0, average=True)
    assert (average.gap <= 2 * (farthest / eta + eta) / iterations).all()


def test_optimism_brings_the_last_iterate_in_where_plain_self_play_spirals_out() -> None:
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.0)
    assert duality_gap(game, play("onpo", game, 10_000)[-1]) < 1e-9
    assert duality_gap(game, play("dno_exact", game, 10_000, eta=2.0)[-1]) > 0.7


def test_the_games_tau_is_not_read() -> None:
    regularised, plain = (play("onpo", fifty_games(tau), 5)[-1] for tau in (0.3, 0.0))
    np.testing.assert_array_equal(regularised, plain)
