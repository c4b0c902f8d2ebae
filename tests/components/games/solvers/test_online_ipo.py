"""Online IPO: its updates are gradient steps on its losses; it can rest at the Nash policy alone."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import Array, duality_gap, log_normalise, win_rates
from tests.fixtures.games import fifty_games, play, random_game


@pytest.mark.parametrize("sampler", ["policy", "uniform"])
def test_each_update_descends_the_gradient_of_its_loss(sampler: str) -> None:
    """Central differences of the population loss in the logits, the sampling held where it was."""
    game, rate = random_game(np.random.default_rng(4), tau=0.5), 0.05
    policies = play("online_ipo", game, 4, learning_rate=rate, sampler=sampler)
    for policy, following in pairwise(policies):
        rates, own = win_rates(game.matrix, policy), sampler == "policy"
        chance = np.exp(policy) if own else np.full(len(policy), 1 / len(policy))
        wanted = (game.matrix - 0.5 if own else rates[:, None] - rates[None, :]) / game.tau

        def loss(logits: Array, chance: Array = chance, wanted: Array = wanted) -> float:
            ratio = log_normalise(logits) - game.log_reference
            return float(chance @ (ratio[:, None] - ratio[None, :] - wanted) ** 2 @ chance)

        shifts = 1e-5 * np.eye(len(policy))
        gradient = [(loss(policy + shift) - loss(policy - shift)) / 2e-5 for shift in shifts]
        np.testing.assert_allclose(following, log_normalise(policy - rate * np.array(gradient)), atol=1e-8)


def test_on_uniform_pairs_it_is_inpo() -> None:
    game = fifty_games(0.2)
    uniform = play("online_ipo", game, 20, learning_rate=0.3, sampler="uniform")
    np.testing.assert_allclose(uniform, play("inpo", game, 20, eta=0.2 * 6 / (4 * 0.3)), atol=1e-10)


@pytest.mark.parametrize("sampler", ["policy", "uniform"])
def test_where_it_comes_to_rest_is_the_nash_policy(sampler: str) -> None:
    game = fifty_games(0.5)
    policies = play("online_ipo", game, 20_000, learning_rate=0.1, sampler=sampler)
    np.testing.assert_allclose(np.exp(policies[-1]), np.exp(nash_policy(game)), atol=1e-3)
    assert np.median(duality_gap(game, policies[-1])) < 1e-12


def test_what_the_game_does_not_admit_is_refused() -> None:
    with pytest.raises(UserError, match="tau: 0, but the loss divides by tau; set tau above 0"):
        play("online_ipo", fifty_games(0.0), 1)
    with pytest.raises(UserError, match=r"learning_rate: 2 times .* is above 1; set learning_rate to at most 1\.5"):
        play("online_ipo", fifty_games(0.1), 1, learning_rate=2, sampler="uniform")
