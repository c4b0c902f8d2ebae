"""Nash-MP: its iterates solve its two proximal problems; the divergence from the Nash policy contracts each time."""

import numpy as np
import pytest

from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import Array, duality_gap, kl_divergence, log_normalise, win_rates
from tests.fixtures.games import family_games, family_names, fifty_games, play


def test_each_iterate_solves_the_proximal_problem_against_the_half_step() -> None:
    """Rivals near and far, in fifty games: none does better than either step."""
    random, game, weight = np.random.default_rng(0), fifty_games(0.2), 0.7
    start, following = play("nash_mp", game, 1, proximal_weight=weight)

    def objective(policy: Array, opponent: Array) -> Array:
        penalty = game.tau * kl_divergence(policy, game.log_reference) + weight * kl_divergence(policy, start)
        return np.asarray((np.exp(policy) * win_rates(game.matrix, opponent)).sum(axis=-1) - penalty)

    half = log_normalise(
        (game.tau * game.log_reference + weight * start + win_rates(game.matrix, start)) / (game.tau + weight)
    )
    for solution, opponent in ((half, start), (following, half)):
        best = objective(solution, opponent)
        for distance in (1e-3, 0.1, 2.0):
            rival = log_normalise(solution + distance * random.standard_normal(solution.shape))
            assert (objective(rival, opponent) < best).all()


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("tau", [0.01, 0.1, 0.5])
def test_every_iteration_contracts_at_the_promised_rate_in_every_game(family: str, tau: float) -> None:
    game = family_games(family, tau)
    nash, previous = nash_policy(game), np.inf
    for policy in play("nash_mp", game, 100):
        divergence = kl_divergence(nash, policy)
        assert (divergence <= previous / (1 + 2 * tau) + 1e-12).all()
        previous = divergence


def test_a_proximal_weight_far_below_a_half_need_not_converge() -> None:
    """The bound's condition is not idle: long steps cycle in strongly cyclic games."""
    game = family_games("cyclic", 0.01)
    ends = {
        weight: duality_gap(game, play("nash_mp", game, 3000, proximal_weight=weight)[-1]) for weight in (0.05, 0.5)
    }
    assert ends[0.05].max() > 0.1
    assert ends[0.5].max() < 1e-6
