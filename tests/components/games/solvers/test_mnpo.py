"""MNPO: its loss gives its iterates; whatever the history's weights, they lead to the regularised Nash policy."""

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import duality_gap
from nashflow.components.games.solvers import make_solver
from tests.fixtures.games import family_games, family_names, fifty_games, play, weighted_least_squares


def test_each_iterate_minimises_the_loss_with_the_history_that_there_is() -> None:
    game, eta = fifty_games(0.1), 0.5
    policies = play("mnpo", game, 4, eta=eta, history=[0.5, 0.2, 0.3])
    histories = [[1.0], [0.5 / 0.7, 0.2 / 0.7], [0.5, 0.2, 0.3], [0.5, 0.2, 0.3]]
    for t, weights in enumerate(histories):
        past = sum(weight * policies[t - age] for age, weight in enumerate(weights))
        base = game.tau / eta * game.log_reference + (1 - game.tau / eta) * past
        wanted = weighted_least_squares(base, policies[t], game.matrix, 1 / (2 * eta))
        np.testing.assert_allclose(policies[t + 1], wanted, atol=1e-10)


def test_with_no_history_it_is_inpo() -> None:
    game = fifty_games(0.1)
    np.testing.assert_allclose(
        play("mnpo", game, 20, eta=0.7, history=[1]), play("inpo", game, 20, eta=0.7), atol=1e-12
    )


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("history", [[0.5, 0.5], [0.25, 0.75], [0.2, 0.3, 0.5]])
def test_any_history_leads_to_the_same_nash_policy_in_every_game(family: str, eta: float, history: list[float]) -> None:
    """With the paper's ratio tau / eta = 1/3. INPO itself, the history [1], fails at eta = 0.3 in strong cycles."""
    game = family_games(family, eta / 3)
    reached = play("mnpo", game, 400, eta=eta, history=history)[-1]
    assert duality_gap(game, reached).max() < 1e-12
    np.testing.assert_allclose(np.exp(reached), np.exp(nash_policy(game)), atol=1e-5)


def test_the_past_steadies_what_inpo_does_not() -> None:
    game = family_games("cyclic", 0.1)
    alone, steadied = (play("mnpo", game, 3000, eta=0.3, history=history)[-1] for history in ([1], [0.5, 0.5]))
    assert (duality_gap(game, alone) > 0.01).sum() == 7
    assert duality_gap(game, steadied).max() < 1e-12


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ([0.5, 0.4], r"mnpo: history: the weights sum to 0\.9, not to 1"),
        ([], r"mnpo: history: the weights sum to 0, not to 1"),
        ([0, 1], "the weight of the current policy, which comes first, is 0; set it above 0"),
        ([1.5, -0.5], r"mnpo: history\.1: .*greater than or equal to 0"),
    ],
)
def test_weights_that_make_no_average_are_refused(history: list[float], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make_solver("mnpo", {"history": history})


def test_eta_below_tau_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"eta: 0\.05, an inverse learning rate, is below tau; set eta to at least 0\.1"
    ):
        play("mnpo", fifty_games(0.1), 1, eta=0.05)
