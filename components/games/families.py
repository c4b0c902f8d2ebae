"""Families of random games, for statements about many games at once.

Game i of a family with seed s draws from numpy's `default_rng([s, i])`: first its matrix, as the family's function
says, then n reference logits from N(0, 1). So a family's first games are the same however many are drawn.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.settings import nearest
from .preference import Array, log_normalise


class Games(NamedTuple):
    """Games side by side: `matrix` (games, n, n) and `log_reference` (games, n)."""

    matrix: Array
    log_reference: Array


def rock_paper_scissors(random: np.random.Generator, responses: int) -> Array:
    """Skewed rock-paper-scissors: 0 beats 1, 1 beats 2 and 2 beats 0, each with its own probability from U[0.6, 1).

    Raises:
        UserError: there are not three responses.
    """
    if responses != 3:
        raise UserError(f"--responses {responses}: rock_paper_scissors has 3")
    first, second, third = random.uniform(0.6, 1.0, 3)
    return _from_lower_triangle(np.array([1 - first, third, 1 - second]), 3)


def cyclic(random: np.random.Generator, responses: int) -> Array:
    """Each response beats the (n − 1) / 2 that follow it around a circle, all with one probability from U[0.6, 1).

    Raises:
        UserError: the number of responses is even.
    """
    if responses % 2 == 0:
        raise UserError(f"--responses {responses}: a cyclic game needs an odd number: set {responses + 1}")
    probability = random.uniform(0.6, 1.0)
    row, column = np.tril_indices(responses, k=-1)
    wins = (column - row) % responses <= responses // 2
    return _from_lower_triangle(np.where(wins, probability, 1 - probability), responses)


def uniform(random: np.random.Generator, responses: int) -> Array:
    """The lower triangle from U[0, 1), row by row: the games of EGPO's simulations (arXiv 2503.08942)."""
    return _from_lower_triangle(random.random(_pairs(responses)), responses)


def tie_heavy(random: np.random.Generator, responses: int) -> Array:
    """As `uniform`; then a second U[0, 1) for each entry, row by row, makes it a tie where it is below 1/2."""
    lower = random.random(_pairs(responses))
    return _from_lower_triangle(np.where(random.random(_pairs(responses)) < 0.5, 0.5, lower), responses)


def bradley_terry(random: np.random.Generator, responses: int) -> Array:
    """P(i ≻ j) = σ(R_i − R_j) with n rewards from N(0, 1): transitive."""
    rewards = random.standard_normal(responses)
    row, column = np.tril_indices(responses, k=-1)
    return _from_lower_triangle(1 / (1 + np.exp(rewards[column] - rewards[row])), responses)


class Family(NamedTuple):
    """A family's matrices, and how many responses they have unless one says otherwise."""

    draw: Callable[[np.random.Generator, int], Array]
    responses: int


FAMILIES = {
    "rock_paper_scissors": Family(rock_paper_scissors, 3),
    "cyclic": Family(cyclic, 5),
    "uniform": Family(uniform, 10),
    "tie_heavy": Family(tie_heavy, 10),
    "bradley_terry": Family(bradley_terry, 10),
}


def draw_games(family: str, games: int, seed: int, responses: int | None = None) -> Games:
    """The first `games` games of a family.

    Raises:
        UserError: no such family, or numbers that it cannot have.
    """
    if family not in FAMILIES:
        raise UserError(f"--family {family}: unknown{nearest(family, FAMILIES)}")
    draw, usual = FAMILIES[family]
    count = usual if responses is None else responses
    for option, number, least in (("games", games, 1), ("seed", seed, 0), ("responses", count, 2)):
        if number < least:
            raise UserError(f"--{option} {number}: set at least {least}")
    drawn = [_draw(draw, count, np.random.default_rng([seed, index])) for index in range(games)]
    return Games(np.stack([game.matrix for game in drawn]), np.stack([game.log_reference for game in drawn]))


def _draw(draw: Callable[[np.random.Generator, int], Array], responses: int, random: np.random.Generator) -> Games:
    matrix = draw(random, responses)
    return Games(matrix, log_normalise(random.standard_normal(responses)))


def _pairs(responses: int) -> int:
    return responses * (responses - 1) // 2


def _from_lower_triangle(lower: Array, responses: int) -> Array:
    matrix = np.full((responses, responses), 0.5)
    row, column = np.tril_indices(responses, k=-1)
    matrix[row, column], matrix[column, row] = lower, 1 - lower
    return matrix
