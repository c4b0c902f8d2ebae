"""INPO: its loss has its update as minimiser; theorem 4; where a fixed step converges, and where it cannot."""

from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import least_eta, nash_policy, rotation
from nashflow.components.games.preference import Game, duality_gap, kl_divergence
from nashflow.components.games.progress import solve
from nashflow.components.games.solvers import make_solver
from tests.fixtures.games import (
    ROCK_PAPER_SCISSORS,
    SKEWED,
    family_games,
    family_names,
    fifty_games,
    play,
    random_game,
    seeds,
    weighted_least_squares,
)


@pytest.mark.parametrize(("tau", "eta"), [(0.1, 0.5), (0.0, 0.7), (0.3, 0.3)])
def test_each_iterate_minimises_inpos_loss(tau: float, eta: float) -> None:
    game = fifty_games(tau)
    policies = play("inpo", game, 3, eta=eta)
    for policy, following in pairwise(policies):
        base = tau / eta * game.log_reference + (1 - tau / eta) * policy
        wanted = weighted_least_squares(base, policy, game.matrix, 1 / (2 * eta))
        np.testing.assert_allclose(following, wanted, atol=1e-10)


def test_steps_of_the_theorem_grow_smaller_as_eta_grows() -> None:
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1)
    policies = play("inpo", game, 5, eta="decreasing")
    for t, policy, following in zip(count(1), policies, policies[1:], strict=False):
        eta = game.tau * (t + 2) / 2
        fixed = play("inpo", Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1), 1, eta=eta)[1] if t == 1 else None
        base = game.tau / eta * game.log_reference + (1 - game.tau / eta) * policy
        np.testing.assert_allclose(
            following, weighted_least_squares(base, policy, game.matrix, 1 / (2 * eta)), atol=1e-10
        )
        assert fixed is None or np.array_equal(fixed, following)


@pytest.mark.parametrize("family", family_names)
def test_theorem_4_bounds_the_last_iterate_in_every_game(family: str) -> None:
    game = family_games(family, 0.1)
    nash, largest_ratio = nash_policy(game), np.zeros(20)
    for iteration, policy in enumerate(play("inpo", game, 2000, eta="decreasing")[1:], start=1):
        largest_ratio = np.maximum(largest_ratio, np.abs(policy - game.log_reference).max(axis=-1))
        constant = np.maximum(largest_ratio * game.tau, 1)
        divergence = kl_divergence(nash, policy)
        assert (divergence <= 32 * constant**2 / (game.tau**2 * (iteration + 1))).all()
    assert divergence.max() < 1e-8


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize(("tau", "eta"), [(0.1, 1.0), (0.02, 2.0)])
def test_a_fixed_eta_converges_exactly_above_the_least_one(family: str, tau: float, eta: float) -> None:
    """Everywhere at tau = 0.1, eta = 1. At tau = 0.02, eta = 2 a strong cycle turns faster than the KL term pulls."""
    game = family_games(family, tau)
    converged = solve(make_solver("inpo", {"eta": eta}), game, 20_000, 1e-6).gap < 1e-6
    np.testing.assert_array_equal(converged, eta > least_eta(game, rotation(game, nash_policy(game))))
    assert converged.sum() == 18 if (family, tau) == ("cyclic", 0.02) else converged.all()


@given(seeds)
@settings(max_examples=40)
def test_a_quarter_above_the_least_eta_it_converges_and_a_fifth_below_it_turns_away(seed: int) -> None:
    game = random_game(np.random.default_rng(seed), tau=0.1)
    least = float(least_eta(game, rotation(game, nash_policy(game))))
    assert solve(make_solver("inpo", {"eta": 1.25 * least}), game, 2000, 1e-9).gap <= 1e-9
    if 0.8 * least > game.tau:
        assert solve(make_solver("inpo", {"eta": 0.8 * least}), game, 2000, 1e-9).gap > 1e-6


def test_constants_of_the_papers_recipe_never_settle() -> None:
    """exp(P / 0.005) is a hard maximum: exact updates jump between near-deterministic best responses."""
    game = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.005 / 3)
    gaps = [float(duality_gap(game, policy)) for policy in play("inpo", game, 300, eta=0.005)]
    assert min(gaps[1:]) > 0.3


def test_without_kl_the_average_converges_and_the_last_iterate_does_not() -> None:
    game, iterations = Game(ROCK_PAPER_SCISSORS, SKEWED, 0.0), 2000
    farthest = -SKEWED.min()  # max over policies of KL(policy || start)
    solver = make_solver("inpo", {"eta": np.sqrt(iterations / farthest)})
    assert solve(solver, game, iterations, 0.0, average=True).gap <= 4 * np.sqrt(farthest / iterations)
    assert solve(solver, game, iterations, 0.0).gap > 0.3


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("iterations", [10, 100, 1000])
def test_without_kl_the_average_keeps_its_bound_in_every_game(family: str, iterations: int) -> None:
    game = family_games(family, 0.0)
    farthest = -game.log_reference.min(axis=-1)
    solver = make_solver("inpo", {"eta": np.sqrt(iterations / farthest.max())})
    average = solve(solver, game, iterations - 1, 0.0, average=True)  # policies 1 to T, the reference first
    assert (average.gap <= 4 * np.sqrt(farthest.max() / iterations)).all()


def test_without_kl_the_last_iterate_converges_where_one_response_beats_all() -> None:
    """Transitive games have a pure equilibrium; cyclic ones turn away from their mixed one, without exception."""
    last = {name: play("inpo", family_games(name, 0.0), 5000, eta=0.5)[-1] for name in ("bradley_terry", "cyclic")}
    assert duality_gap(family_games("bradley_terry", 0.0), last["bradley_terry"]).max() < 1e-6
    assert duality_gap(family_games("cyclic", 0.0), last["cyclic"]).min() > 0.1


@pytest.mark.parametrize(
    ("tau", "eta", "complaint"),
    [
        (0.1, 0.05, r"eta: 0\.05, an inverse learning rate, is below tau; set eta to at least 0\.1"),
        (0.0, "decreasing", "tau: 0, but decreasing steps are multiples of 1/tau; set tau above 0"),
    ],
)
def test_steps_that_the_game_does_not_admit_are_refused(tau: float, eta: float | str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        play("inpo", Game(ROCK_PAPER_SCISSORS, SKEWED, tau), 1, eta=eta)


@pytest.mark.parametrize("eta", [0, -1, "falling", None, float("nan")])
def test_what_is_no_eta_is_refused(eta: object) -> None:
    with pytest.raises(UserError, match=r"inpo: eta: .* is neither a number above 0 nor 'decreasing'$"):
        make_solver("inpo", {"eta": eta})
