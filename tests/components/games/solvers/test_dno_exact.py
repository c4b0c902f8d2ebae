"""DNO: its soft-label logistic loss gives its iterates, which are plain multiplicative weights."""

from itertools import pairwise

import numpy as np

from nashflow.components.games.preference import win_rates
from nashflow.components.games.regression import logistic_minimiser
from tests.fixtures.games import fifty_games, play


def test_each_iterate_minimises_the_logistic_loss_with_the_win_rates_own_labels() -> None:
    """Labels sigmoid(r(y) - r(y')), r the win rate against the policy: a Bradley-Terry game that changes each time."""
    game, eta = fifty_games(0.0), 0.4
    policies = play("dno_exact", game, 3, eta=eta)
    for policy, following in pairwise(policies):
        rates = win_rates(game.matrix, policy)
        labels = 1 / (1 + np.exp(rates[:, None, :] - rates[:, :, None]))
        np.testing.assert_allclose(following, logistic_minimiser(policy, policy, labels, beta=eta), atol=1e-10)


def test_it_is_inpo_without_kl() -> None:
    game = fifty_games(0.0)
    np.testing.assert_array_equal(play("dno_exact", fifty_games(0.3), 10, eta=0.4), play("inpo", game, 10, eta=0.4))
