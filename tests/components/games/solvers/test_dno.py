"""DNO-Prct: iterative DPO that sees the pairs of large margin alone."""

from itertools import pairwise

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Game, duality_gap
from nashflow.components.games.progress import solve
from nashflow.components.games.solvers import make_solver
from tests.fixtures.games import family_games, fifty_games, play


def test_wins_balance_over_the_kept_pairs_alone() -> None:
    game, beta, margin = fifty_games(0.0), 0.7, 0.3
    kept = np.abs(2 * game.matrix - 1) >= margin
    assert 0.4 < kept.mean() < 0.7
    policies = play("dno", game, 3, beta=beta, margin=margin)
    for policy, following in pairwise(policies):
        reward = beta * (following - policy)
        predicted = 1 / (1 + np.exp(reward[:, None, :] - reward[:, :, None]))
        imbalance = (kept * (predicted - game.matrix) * np.exp(policy)[:, None, :]).sum(axis=-1)
        np.testing.assert_allclose(imbalance, 0, atol=1e-10)


def test_without_a_margin_it_is_iterative_dpo() -> None:
    game = fifty_games(0.0)
    unfiltered = play("dno", game, 5, beta=0.5, margin=0)
    np.testing.assert_allclose(unfiltered, play("iterative_dpo", game, 5, beta=0.5), atol=1e-10)


def test_on_bradley_terry_games_the_filter_changes_nothing_that_it_leaves_comparable() -> None:
    game = family_games("bradley_terry", 0.0)
    filtered, plain = (play("dno", game, 1, margin=margin)[1] for margin in (0.2, 0))
    np.testing.assert_allclose(filtered, plain, atol=1e-9)


def test_what_is_never_compared_keeps_its_share() -> None:
    """Responses 0 and 1 differ by a little only: all that the loss says is how 2 compares with nothing at all."""
    matrix = np.array([[0.5, 0.55, 0.5], [0.45, 0.5, 0.52], [0.5, 0.48, 0.5]])
    game = Game(matrix, np.log([0.5, 0.3, 0.2]), 0.0)
    np.testing.assert_allclose(play("dno", game, 1, margin=0.5)[1], game.log_reference, atol=1e-12)


def test_on_cycles_it_runs_away() -> None:
    game = family_games("cyclic", 0.0)
    start, end = (duality_gap(game, play("dno", game, count, margin=0.1)[-1]) for count in (0, 200))
    assert end.mean() > 1.5 * start.mean()


def test_a_policy_too_extreme_for_float64_is_said_and_not_shown() -> None:
    """Two groups that only responses of mass 1e-17 connect: their rewards' difference is below rounding."""
    game = family_games("tie_heavy", 0.0)
    with pytest.raises(UserError, match=r"dno: iteration \d+ is beyond float64 .*set --iterations to at most \d+$"):
        solve(make_solver("dno", {"margin": 0.6}), game, 300, 0.0)
