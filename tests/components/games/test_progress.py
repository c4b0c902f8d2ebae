"""Playing a solver until it is near enough, and along a grid of updates."""

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Game, duality_gap
from nashflow.components.games.progress import Curve, solve, trace
from nashflow.components.games.solvers import make_solver
from tests.fixtures.games import ROCK_PAPER_SCISSORS, SKEWED, family_games, play

GAME = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1)


def test_solving_ends_with_the_first_iterate_that_is_near_enough() -> None:
    solution = solve(make_solver("nash_mp", {}), GAME, 1000, 1e-6)
    policies = play("nash_mp", GAME, 40)
    gaps = [float(duality_gap(GAME, policy)) for policy in policies]
    assert solution.iterations == next(i for i, gap in enumerate(gaps) if gap <= 1e-6)
    np.testing.assert_array_equal(solution.log_policy, policies[solution.iterations])
    assert solution.gap == gaps[solution.iterations]


def test_solving_ends_after_the_iterations_that_it_is_given() -> None:
    solution = solve(make_solver("inpo", {}), GAME, 7, 0.0)
    assert solution.iterations == 7
    np.testing.assert_array_equal(solution.log_policy, play("inpo", GAME, 7)[-1])


def test_a_reference_that_is_near_enough_takes_no_iteration() -> None:
    uniform = np.full(3, -np.log(3))
    solution = solve(make_solver("inpo", {}), Game(ROCK_PAPER_SCISSORS, uniform, 0.1), 7, 1e-12)
    assert (solution.iterations, solution.gap) == (0, pytest.approx(0, abs=1e-15))


def test_side_by_side_it_ends_when_the_last_game_is_near_enough() -> None:
    game = family_games("uniform", 0.1)
    together = solve(make_solver("nash_mp", {}), game, 1000, 1e-6)
    alone = [Game(game.matrix[i], game.log_reference[i], 0.1) for i in range(20)]
    assert together.iterations == max(solve(make_solver("nash_mp", {}), one, 1000, 1e-6).iterations for one in alone)


def test_the_average_is_of_all_policies_from_the_reference_on() -> None:
    solution = solve(make_solver("onpo", {}), GAME, 9, 0.0, average=True)
    np.testing.assert_allclose(np.exp(solution.log_policy), np.exp(play("onpo", GAME, 9)).mean(axis=0), atol=1e-14)
    assert solution.gap == duality_gap(GAME, solution.log_policy)


@pytest.mark.parametrize("updates", [1, 2, 90, 1234])
def test_a_curve_has_every_early_update_and_the_last(updates: int) -> None:
    curve = trace(make_solver("inpo", {}), GAME, updates)
    grid = curve.updates.tolist()
    assert grid[:30] == list(range(updates + 1))[:30]
    assert grid[-1] == updates
    steps = np.diff(grid[30:]) / grid[30:-1]
    assert (steps < 0.05).all()
    policies = play("inpo", GAME, updates)
    np.testing.assert_array_equal(curve.gaps, [duality_gap(GAME, policies[point]) for point in grid])


def test_the_first_passage_is_the_first_point_below() -> None:
    gaps = np.array([[0.5, 0.5, 0.5], [0.1, 0.5, 0.09], [0.2, 0.5, 0.08], [0.01, 0.5, 0.07]])
    curve = Curve(np.array([0, 1, 2, 4]), gaps)
    np.testing.assert_array_equal(curve.first_passage(0.1), [4, np.inf, 1])
    np.testing.assert_array_equal(curve.first_passage(0.6), [0, 0, 0])


@pytest.mark.filterwarnings("error")
def test_iterates_that_leave_float64_are_said() -> None:
    diverging = make_solver("online_ipo", {"learning_rate": 1e308})
    with pytest.raises(UserError, match=r"online_ipo: the iterates have left the range of float64 by update \d+; make"):
        solve(diverging, GAME, 100, 0.0)
    with pytest.raises(UserError, match="make its steps smaller"):
        trace(diverging, GAME, 100)


def test_settings_that_do_not_fit_the_game_are_said() -> None:
    with pytest.raises(UserError, match="set eta to at least"):
        solve(make_solver("inpo", {"eta": 0.01}), GAME, 10, 0.0)
    with pytest.raises(UserError, match="set eta to at least"):  # even where the reference is near enough
        solve(make_solver("inpo", {"eta": 0.01}), GAME, 10, 1.0)
