"""The duality gap of probabilities: known answers, and the exact game's own."""

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.families import draw_games
from nashflow.components.games.preference import Game, duality_gap
from nashflow.pipelines.game.gap import gap_of

CYCLE = [[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]]


def test_the_equilibrium_alone_has_no_gap() -> None:
    assert gap_of(CYCLE, [1 / 3] * 3) == pytest.approx(0, abs=1e-15)
    assert gap_of(CYCLE, [1, 0, 0]) == 1


def test_a_certain_response_pays_its_divergence_from_the_reference() -> None:
    """KL(response ‖ uniform) is log 3; the best answer is π_ref exp(P(y ≻ response) / τ)."""
    tau = 0.5
    best = tau * np.log(np.mean(np.exp(np.array([0.5, 0.0, 1.0]) / tau)))
    assert gap_of(CYCLE, [1, 0, 0], tau) == pytest.approx(2 * (best + tau * np.log(3)) - 1, rel=1e-12)


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_it_is_the_games_gap(tau: float) -> None:
    games = draw_games("uniform", 5, seed=1)
    for matrix, logs in zip(games.matrix, games.log_reference, strict=True):
        policy = np.random.default_rng(2).dirichlet(np.ones(len(matrix)))
        expected = duality_gap(Game(matrix, logs, tau), np.log(policy))
        assert gap_of(matrix, policy, tau, np.exp(logs)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("matrix", "policy", "error"),
    [
        (CYCLE, [0.5, 0.5], r"policy: shape \(2,\) for a matrix of shape \(3, 3\)"),
        (CYCLE, [0.5, 0.6, -0.1], "policy: no probabilities: the least is -0.1"),
        (CYCLE, [0.5, 0.4, 0.3], "they sum to 1.2"),
        (CYCLE, [float("nan")] * 3, "policy: no probabilities"),
        ([[0.5, 0.9], [0.9, 0.5]], [0.5, 0.5], "preference matrix: P"),
        ([0.5], [1.0], "preference matrix: shape"),
        ([], [], "preference matrix: shape"),
    ],
)
def test_what_is_no_game(matrix: list[list[float]], policy: list[float], error: str) -> None:
    with pytest.raises(UserError, match=error):
        gap_of(matrix, policy)
