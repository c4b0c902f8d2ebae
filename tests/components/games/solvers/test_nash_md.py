"""Nash-MD: its loss gives its iterates; the bound for decreasing steps; the bias of fixed ones."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import duality_gap, kl_divergence, log_normalise
from tests.fixtures.games import family_games, family_names, fifty_games, play, weighted_least_squares


@pytest.mark.parametrize("eta", [0.5, "decreasing"])
def test_each_iterate_minimises_the_loss_on_pairs_of_the_mixture(eta: float | str) -> None:
    game = fifty_games(0.4)
    policies = play("nash_md", game, 3, eta=eta)
    for t, (policy, following) in enumerate(pairwise(policies), start=1):
        step = eta if isinstance(eta, float) else 2 / (game.tau * (t + 2))
        base = step * game.tau * game.log_reference + (1 - step * game.tau) * policy
        wanted = weighted_least_squares(base, log_normalise(base), game.matrix, step / 2)
        np.testing.assert_allclose(following, wanted, atol=1e-10)


@pytest.mark.parametrize("family", family_names)
def test_decreasing_steps_keep_their_bound_in_every_game(family: str) -> None:
    game = family_games(family, 0.1)
    nash = nash_policy(game)
    for iteration, policy in enumerate(play("nash_md", game, 2000)[1:], start=1):
        divergence = kl_divergence(nash, policy)
        assert (divergence <= 8 / (game.tau**2 * (iteration + 1))).all()
    assert divergence.max() < 1e-6


@pytest.mark.parametrize("family", family_names)
def test_a_fixed_step_settles_beside_the_nash_policy(family: str) -> None:
    """In every game it settles where 3000 more iterations change nothing; in half of them at a gap above 4e-6."""
    game = family_games(family, 0.1)
    policies = play("nash_md", game, 5000, eta=1.0)
    gaps = duality_gap(game, policies[-1])
    assert gaps.min() > 1e-7
    assert np.median(gaps) > 4e-6
    np.testing.assert_allclose(gaps, duality_gap(game, policies[2000]), rtol=1e-4)


def test_steps_that_the_game_does_not_admit_are_refused() -> None:
    with pytest.raises(UserError, match=r"eta: 11 times tau = 0\.1 is above 1; set eta to at most 10"):
        play("nash_md", fifty_games(0.1), 1, eta=11)
    with pytest.raises(UserError, match="tau: 0, but decreasing steps are multiples of 1/tau"):
        play("nash_md", fifty_games(0.0), 1)
