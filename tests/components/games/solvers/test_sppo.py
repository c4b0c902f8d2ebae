"""SPPO: its constrained minimiser, and how far that is from the multiplicative weights that it is taken for."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.games.families import draw_games
from nashflow.components.games.preference import Game, duality_gap, kl_divergence, log_normalise, win_rates
from tests.fixtures.games import family_games, play

ETAS = (0.1, 1.0, 5.0, 20.0, 100.0)


def sixes() -> Game:
    return Game(*draw_games("uniform", 50, seed=0, responses=6), tau=0.0)


@pytest.mark.parametrize("eta", [*ETAS, 1000.0])
def test_each_iterate_is_stationary_under_the_constraint(eta: float) -> None:
    """mu (log pi - log mu - t) + k pi = 0, where summing over responses shows that k = KL(mu || pi)."""
    game = sixes()
    policies = play("sppo", game, 2, eta=eta)
    for policy, following in pairwise(policies):
        target = eta * (win_rates(game.matrix, policy) - 0.5)
        multiplier = kl_divergence(policy, following)[:, None]
        residual = np.exp(policy) * (following - policy - target) + multiplier * np.exp(following)
        np.testing.assert_allclose(residual, 0, atol=1e-12 * max(1.0, eta))
        assert (multiplier > 0).all()


def test_the_distance_to_multiplicative_weights_grows_from_nothing_to_all() -> None:
    game, distances = sixes(), []
    for eta in ETAS:
        weights = log_normalise(game.log_reference + eta * win_rates(game.matrix, game.log_reference))
        distances.append(float(kl_divergence(weights, play("sppo", game, 1, eta=eta)[1]).mean()))
    np.testing.assert_allclose(distances, [1.1e-12, 9.2e-7, 3.4e-3, 0.18, 0.66], rtol=0.05)


def test_the_missing_normaliser_is_between_nothing_and_an_eighth_of_eta_squared() -> None:
    game = sixes()
    for eta in ETAS:
        rates = win_rates(game.matrix, game.log_reference)
        missing = np.logaddexp.reduce(game.log_reference + eta * rates, axis=-1) - eta / 2
        assert ((missing >= 0) & (missing <= eta**2 / 8)).all()


def test_on_cycles_the_last_iterate_runs_away() -> None:
    game = family_games("cyclic", 0.0)
    start, end = (duality_gap(game, play("sppo", game, count)[-1]) for count in (0, 300))
    assert end.mean() > 1.5 * start.mean()
