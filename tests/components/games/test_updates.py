import numpy as np
import pytest
from hypothesis import given

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Game, best_response, kl_divergence, win_rates
from nashflow.components.games.updates import extragradient_step, geometric_mixture, mirror_step
from tests.fixtures.games import ROCK_PAPER_SCISSORS, SKEWED, random_game, random_policy, seeds


@given(seeds)
def test_a_mirror_step_maximises_its_proximal_objective(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    base, opponent, rival = random_policy(random, 3, len(game.matrix))
    step = float(random.uniform(0.1, 1)) / game.tau
    stepped = mirror_step(game, base, opponent, step)

    def objective(policy: np.ndarray) -> float:
        """P(pi > opponent) - tau KL(pi || ref) - (1 / step - tau) KL(pi || base)."""
        proximal = (1 / step - game.tau) * kl_divergence(policy, base)
        win_rate = np.exp(policy) @ win_rates(game.matrix, opponent)
        return float(win_rate - game.tau * kl_divergence(policy, game.log_reference) - proximal)

    assert objective(stepped) >= objective(rival)
    np.testing.assert_allclose(
        mirror_step(game, base, opponent, 1 / game.tau), best_response(game, opponent), atol=1e-10
    )


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, np.inf, 10.1])
def test_steps_beyond_the_best_response_are_refused(step: float) -> None:
    with pytest.raises(UserError, match=r"outside \(0, 1 / tau\]"):
        mirror_step(Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1), SKEWED, SKEWED, step)


def test_known_steps() -> None:
    """From the uniform policy and reference a step of size s against rock multiplies by exp(s P(y beats rock))."""
    uniform, rock = np.log(np.full(3, 1 / 3)), np.array([0.0, -800.0, -800.0])
    game = Game(ROCK_PAPER_SCISSORS, uniform, 0.5)
    expected = np.exp(2 * np.array([0.5, 0.1, 0.9]))
    np.testing.assert_allclose(np.exp(mirror_step(game, uniform, rock, 2.0)), expected / expected.sum(), atol=1e-14)
    np.testing.assert_allclose(extragradient_step(game, uniform, 2.0), uniform, atol=1e-14)
    pulled = mirror_step(Game(np.full((3, 3), 0.5), uniform, 0.5), SKEWED, rock, 1.0)
    np.testing.assert_allclose(pulled, geometric_mixture(SKEWED, uniform, 0.5), atol=1e-14)


@given(seeds)
def test_an_extragradient_step_answers_the_half_step(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    policy = random_policy(random, len(game.matrix))
    step = float(random.uniform(0.1, 1)) / game.tau
    half = mirror_step(game, policy, policy, step)
    np.testing.assert_array_equal(extragradient_step(game, policy, step), mirror_step(game, policy, half, step))


@given(seeds)
def test_a_geometric_mixture_is_the_average_of_log_odds(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random_policy(random, 2, 5)
    weight = float(random.uniform())
    mixture = geometric_mixture(first, second, weight)
    odds = (1 - weight) * (first - first[0]) + weight * (second - second[0])
    np.testing.assert_allclose(mixture - mixture[0], odds, atol=1e-12)
    assert np.exp(mixture).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose([geometric_mixture(first, second, end) for end in (0, 1)], [first, second], atol=1e-12)
