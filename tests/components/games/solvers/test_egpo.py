"""EGPO: its two losses give its iterates; linear convergence of the last iterate in every game."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import kl_divergence
from tests.fixtures.games import family_games, family_names, fifty_games, play, weighted_least_squares


def test_each_iterate_minimises_the_full_loss_on_pairs_of_the_half_losss_minimiser() -> None:
    game, eta = fifty_games(0.2), 0.6
    policies = play("egpo", game, 3, eta=eta)
    for policy, following in pairwise(policies):
        base = eta * game.tau * game.log_reference + (1 - eta * game.tau) * policy
        half = weighted_least_squares(base, policy, game.matrix, eta / 2)
        full = weighted_least_squares(base, half, game.matrix, eta / 2)
        np.testing.assert_allclose(following, full, atol=1e-10)


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("tau", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("offset", [0.5, 1.0, 3.0])
def test_the_last_iterate_converges_linearly_in_every_game(family: str, tau: float, offset: float) -> None:
    """At the paper's step 1 / (tau + 3), and up to the largest that keeps the bound, 1 / (tau + 1/2)."""
    game, eta = family_games(family, tau), 1 / (tau + offset)
    nash = nash_policy(game)
    start = kl_divergence(nash, game.log_reference)
    for iteration, policy in enumerate(play("egpo", game, 300, eta=eta)):
        assert (kl_divergence(nash, policy) <= (1 - eta * tau) ** iteration * start + 1e-12).all()


@pytest.mark.parametrize("proximal_weight", [0.5, 2.0])
def test_it_is_nash_mp_with_another_name_for_the_step(proximal_weight: float) -> None:
    game = fifty_games(0.1)
    egpo = play("egpo", game, 20, eta=1 / (game.tau + proximal_weight))
    np.testing.assert_array_equal(egpo, play("nash_mp", game, 20, proximal_weight=proximal_weight))


def test_a_step_beyond_the_best_response_is_refused() -> None:
    with pytest.raises(UserError, match=r"eta: 6 times tau = 0\.2 is above 1; set eta to at most 5$"):
        play("egpo", fifty_games(0.2), 1, eta=6)
