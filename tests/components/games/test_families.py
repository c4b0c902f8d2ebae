"""Families of random games: what they are made of, and that a seed means the same games forever."""

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.families import FAMILIES, draw_games
from nashflow.components.games.preference import Game, check_matrix, duality_gap
from tests.fixtures.games import family_names


@pytest.mark.parametrize("family", family_names)
def test_a_family_is_of_preference_games_with_policies_of_full_support(family: str) -> None:
    matrix, log_reference = draw_games(family, 30, seed=3)
    check_matrix(matrix)
    assert matrix.shape == (30, FAMILIES[family].responses, FAMILIES[family].responses)
    np.testing.assert_allclose(np.exp(log_reference).sum(axis=-1), 1, atol=1e-14)
    assert len({row.tobytes() for row in matrix}) == 30


@pytest.mark.parametrize("family", family_names)
def test_game_i_is_the_same_however_many_are_drawn(family: str) -> None:
    few, many, other = draw_games(family, 3, seed=3), draw_games(family, 8, seed=3), draw_games(family, 3, seed=4)
    for part in (0, 1):
        np.testing.assert_array_equal(few[part], many[part][:3])
        assert not np.array_equal(few[part], other[part])


def test_the_order_of_draws_is_the_documented_one() -> None:
    """The last of three games of each family, drawn by hand."""
    random = np.random.default_rng([5, 2])
    lower = random.random(6)
    logits = random.standard_normal(4)
    matrix, log_reference = draw_games("uniform", 3, seed=5, responses=4)
    np.testing.assert_array_equal(matrix[2][np.tril_indices(4, k=-1)], lower)
    np.testing.assert_allclose(log_reference[2] - log_reference[2, 0], logits - logits[0], atol=1e-14)

    random = np.random.default_rng([5, 2])
    lower, coins = random.random(6), random.random(6)
    matrix, _ = draw_games("tie_heavy", 3, seed=5, responses=4)
    np.testing.assert_array_equal(matrix[2][np.tril_indices(4, k=-1)], np.where(coins < 0.5, 0.5, lower))

    first, second, third = np.random.default_rng([5, 2]).uniform(0.6, 1, 3)
    matrix, _ = draw_games("rock_paper_scissors", 3, seed=5)
    np.testing.assert_allclose(matrix[2][[0, 1, 2], [1, 2, 0]], [first, second, third], atol=1e-15)

    rewards = np.random.default_rng([5, 2]).standard_normal(4)
    matrix, _ = draw_games("bradley_terry", 3, seed=5, responses=4)
    np.testing.assert_allclose(np.log(matrix[2] / matrix[2].T), rewards[:, None] - rewards, atol=1e-12)


@pytest.mark.parametrize("responses", [3, 5, 9])
def test_in_a_cyclic_game_each_beats_the_half_that_follows(responses: int) -> None:
    matrix, _ = draw_games("cyclic", 4, seed=0, responses=responses)
    for game in matrix:
        for ahead in range(1, responses // 2 + 1):
            won = [game[i, (i + ahead) % responses] for i in range(responses)]
            assert len(set(won)) == 1
            assert 0.6 <= won[0] < 1
    uniform = np.full((4, responses), -np.log(responses))
    np.testing.assert_allclose(duality_gap(Game(matrix, uniform, 0.0), uniform), 0, atol=1e-14)


def test_half_the_pairs_of_a_tie_heavy_game_are_ties() -> None:
    matrix, _ = draw_games("tie_heavy", 200, seed=0)
    ties = (matrix == 0.5).sum(axis=(1, 2)) - 10
    assert ties.mean() / 90 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("unifrom", 3, 0), "--family unifrom: unknown; did you mean uniform?"),
        (("uniform", 0, 0), "--games 0: set at least 1"),
        (("uniform", 3, -1), "--seed -1: set at least 0"),
        (("uniform", 3, 0, 1), "--responses 1: set at least 2"),
        (("cyclic", 3, 0, 4), "--responses 4: a cyclic game needs an odd number: set 5"),
        (("rock_paper_scissors", 3, 0, 5), "--responses 5: rock_paper_scissors has 3"),
    ],
)
def test_what_makes_no_family_is_refused(arguments: tuple[str, int, int], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        draw_games(*arguments)
    assert str(caught.value) == complaint
