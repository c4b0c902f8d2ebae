"""Nash-MD-PG: its updates are gradient steps on its objective; without a mixture it rests at the Nash policy alone."""

from itertools import pairwise

import numpy as np

from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import Array, duality_gap, log_normalise, win_rates
from tests.fixtures.games import family_games, fifty_games, play, random_game


def test_each_update_climbs_the_gradient_of_its_objective() -> None:
    """Central differences of E_{y ~ softmax(logits)} A(y), with A held where it was."""
    game = random_game(np.random.default_rng(3), tau=0.3)
    rate, weight = 0.2, 0.25
    policies = play("nash_md_pg", game, 4, learning_rate=rate, mixture=weight)
    for policy, following in pairwise(policies):
        mixture = log_normalise((1 - weight) * policy + weight * game.log_reference)
        advantage = win_rates(game.matrix, mixture) - game.tau * (policy - game.log_reference)

        def objective(logits: Array, advantage: Array = advantage) -> float:
            return float(np.exp(log_normalise(logits)) @ advantage)

        shifts = 1e-5 * np.eye(len(policy))
        gradient = [(objective(policy + shift) - objective(policy - shift)) / 2e-5 for shift in shifts]
        np.testing.assert_allclose(following, log_normalise(policy + rate * np.array(gradient)), atol=1e-9)


def test_without_a_mixture_it_rests_at_the_nash_policy_and_with_one_beside_it() -> None:
    game = fifty_games(0.3)
    resting, beside = (play("nash_md_pg", game, 20_000, learning_rate=1.0, mixture=mix)[-1] for mix in (0, 0.25))
    np.testing.assert_allclose(np.exp(resting), np.exp(nash_policy(game)), atol=2e-3)
    assert np.median(duality_gap(game, resting)) < 1e-12
    assert np.median(duality_gap(game, beside)) > 1e-4


def test_what_is_rare_moves_slowly() -> None:
    game = family_games("uniform", 0.01)
    slow, fast = (play(name, game, 2000)[-1] for name in ("nash_md_pg", "nash_mp"))
    assert np.median(duality_gap(game, slow)) > 1e3 * np.median(duality_gap(game, fast))
