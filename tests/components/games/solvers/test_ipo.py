"""IPO: its loss gives the best response to the behaviour policy, which is no Nash policy."""

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import duality_gap
from tests.fixtures.games import fifty_games, play, weighted_least_squares


def test_the_iterate_minimises_ipos_loss_and_stays() -> None:
    game = fifty_games(0.2)
    _, first, second = play("ipo", game, 2)
    wanted = weighted_least_squares(game.log_reference, game.log_reference, game.matrix, 1 / (2 * game.tau))
    np.testing.assert_allclose(first, wanted, atol=1e-10)
    np.testing.assert_array_equal(first, second)


def test_it_is_one_best_response_away_from_the_reference_and_not_at_the_nash_policy() -> None:
    game = fifty_games(0.2)
    iterate = play("ipo", game, 1)[1]
    assert duality_gap(game, iterate).min() > 5e-5
    assert np.median(np.abs(np.exp(iterate) - np.exp(nash_policy(game))).max(axis=-1)) > 0.04


def test_it_needs_a_kl_weight() -> None:
    with pytest.raises(UserError, match="set tau > 0"):
        play("ipo", fifty_games(0.0), 1)
