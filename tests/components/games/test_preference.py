import numpy as np
import pytest
from hypothesis import given

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import (
    Game,
    best_response,
    check_matrix,
    duality_gap,
    kl_divergence,
    log_normalise,
    payoff,
    win_rates,
)
from tests.fixtures.games import (
    ROCK_PAPER_SCISSORS,
    SKEWED,
    family_games,
    family_names,
    random_game,
    random_matrix,
    random_policy,
    seeds,
)


@given(seeds)
def test_the_closed_form_gap_is_the_gap_played_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    policy = random_policy(random, len(game.matrix))
    best = best_response(game, policy)
    played = payoff(game, best, policy) - payoff(game, policy, best)
    assert duality_gap(game, policy) == pytest.approx(played, abs=1e-12)


@given(seeds)
def test_no_policy_does_better_than_the_best_response(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    opponent = random_policy(random, len(game.matrix))
    best = best_response(game, opponent)
    rivals = [random_policy(random, len(best)), log_normalise(best + 1e-3 * random.standard_normal(len(best)))]
    assert all(payoff(game, best, opponent) >= payoff(game, rival, opponent) for rival in rivals)


@given(seeds)
def test_without_regularisation_the_gap_is_that_of_the_best_vertex(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random, tau=0.0)
    policy = random_policy(random, len(game.matrix))
    against = [float(row @ np.exp(policy)) for row in game.matrix]
    assert duality_gap(game, policy) == pytest.approx(max(against) - (1 - max(against)), abs=1e-12)


@given(seeds)
def test_the_game_is_symmetric_and_self_play_is_even(seed: int) -> None:
    random = np.random.default_rng(seed)
    game = random_game(random)
    p, q = random_policy(random, 2, len(game.matrix))
    assert payoff(game, p, q) + payoff(game, q, p) == pytest.approx(1, abs=1e-12)
    assert np.exp(p) @ win_rates(game.matrix, p) == pytest.approx(0.5, abs=1e-12)
    assert duality_gap(game, p) >= 0


@given(seeds)
def test_contexts_are_independent(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrices = np.stack([random_matrix(random, 4) for _ in range(3)])
    reference, p, q = random_policy(random, 3, 3, 4)
    batch = Game(matrices, reference, 0.3)
    for context in range(3):
        single = Game(matrices[context], reference[context], 0.3)
        assert duality_gap(batch, p)[context] == pytest.approx(duality_gap(single, p[context]), abs=1e-14)
        assert payoff(batch, p, q)[context] == pytest.approx(payoff(single, p[context], q[context]), abs=1e-14)
        np.testing.assert_allclose(best_response(batch, q)[context], best_response(single, q[context]), atol=1e-13)


@pytest.mark.parametrize("family", family_names)
@pytest.mark.parametrize("tau", [0.02, 0.1, 1.0])
def test_closed_gaps_are_played_out_in_every_game_of_every_family(family: str, tau: float) -> None:
    game = family_games(family, tau)
    policy = random_policy(np.random.default_rng(2), *game.log_reference.shape)
    best = best_response(game, policy)
    played = payoff(game, best, policy) - payoff(game, policy, best)
    np.testing.assert_allclose(duality_gap(game, policy), played, atol=1e-12)


def test_known_values() -> None:
    uniform = np.log(np.full(3, 1 / 3))
    fair = Game(ROCK_PAPER_SCISSORS, uniform, 0.1)
    assert duality_gap(fair, uniform) == pytest.approx(0, abs=1e-15)
    assert kl_divergence(SKEWED, uniform) == pytest.approx(np.log(3) + np.exp(SKEWED) @ SKEWED)
    assert kl_divergence(SKEWED, SKEWED) == 0
    np.testing.assert_allclose(win_rates(ROCK_PAPER_SCISSORS, SKEWED), [0.54, 0.26, 0.70])
    assert duality_gap(Game(ROCK_PAPER_SCISSORS, uniform, 0.0), SKEWED) == pytest.approx(2 * 0.70 - 1)


def test_extreme_policies_lose_no_precision() -> None:
    sharp = log_normalise(np.array([0.0, -800.0, -1600.0]))
    game = Game(ROCK_PAPER_SCISSORS, log_normalise(np.array([-900.0, 0.0, -3.0])), 1e-3)
    assert np.isfinite(best_response(game, sharp)).all()
    assert duality_gap(game, sharp) == pytest.approx(
        payoff(game, best_response(game, sharp), sharp) - payoff(game, sharp, best_response(game, sharp)), rel=1e-12
    )


def test_the_best_response_needs_a_regularised_game() -> None:
    with pytest.raises(UserError, match=r"tau: 0 gives no unique policy .* set tau > 0"):
        best_response(Game(ROCK_PAPER_SCISSORS, SKEWED, 0.0), SKEWED)


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        (np.full((2, 3), 0.5), r"shape \(2, 3\) is not square"),
        (np.array(0.5), r"shape \(\) is not square"),
        (np.zeros((0, 0)), r"shape \(0, 0\) is not square"),
        (np.array([[0.5, np.nan], [0.5, 0.5]]), "finite"),
        (np.array([[0.5, 1.2], [-0.2, 0.5]]), r"found -0\.2 to 1\.2"),
        (np.array([[0.5, 0.7], [0.4, 0.5]]), r"P\[0, 1\] \+ P\[1, 0\] must be 1"),
        (np.array([[0.6, 0.7], [0.3, 0.5]]), r"P\[0, 0\] \+ P\[0, 0\] must be 1"),
    ],
)
def test_what_is_no_preference_matrix_is_refused(matrix: np.ndarray, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        check_matrix(matrix)


@pytest.mark.parametrize(
    ("reference", "tau", "complaint"),
    [
        (np.log(np.full(2, 0.5)), 0.1, "reference: 2 probabilities for 3 responses"),
        (np.array([0.0, -np.inf, -np.inf]), 0.1, "every response needs a probability above 0"),
        (SKEWED, -0.1, r"tau: -0\.1 is no KL weight"),
        (SKEWED, np.inf, "tau: inf is no KL weight"),
    ],
)
def test_a_game_that_makes_no_sense_is_refused(reference: np.ndarray, tau: float, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Game(ROCK_PAPER_SCISSORS, reference, tau)
