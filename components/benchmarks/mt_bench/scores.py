"""The score of MT-Bench: the mean of the ratings of all answers, in both turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...core.errors import UserError
from ..intervals import ratio_interval
from .ratings import NO_RATING

TOP = 10.0
"""The best rating."""


class Rated(NamedTuple):
    """The rating of an answer."""

    question: str
    turn: int
    """1 or 2."""
    rating: float


@dataclass(frozen=True)
class Score:
    """Mean ratings."""

    score: float
    """Of all answers."""
    standard_error: float | None
    """Over questions; None of a single one."""
    low: float
    high: float
    """The ends of the 95 % interval of the score, over questions."""
    first_turn: float | None
    second_turn: float | None
    """None if no answer in that turn is rated."""
    questions: int
    """With a rating."""
    no_rating: int
    """Judgments that name no rating; no mean counts them."""


def mean_ratings(ratings: Sequence[Rated]) -> Score:
    """The mean ratings; those that are NO_RATING are left out.

    Raises:
        UserError: none is left.
    """
    rated = [each for each in ratings if each.rating != NO_RATING]
    if not rated:
        raise UserError(f"none of {len(ratings)} judgments names a rating such as [[5]]")
    by_question: dict[str, list[float]] = {}
    for each in rated:
        by_question.setdefault(each.question, []).append(each.rating)
    sums, counts = [sum(values) for values in by_question.values()], [len(values) for values in by_question.values()]
    interval = ratio_interval(np.divide(sums, TOP), counts)
    return Score(
        score=sum(sums) / len(rated),
        standard_error=None if interval.error is None else interval.error * TOP,
        low=interval.low * TOP,
        high=interval.high * TOP,
        first_turn=_turn(rated, 1),
        second_turn=_turn(rated, 2),
        questions=len(by_question),
        no_rating=len(ratings) - len(rated),
    )


def any_rated(ratings: Sequence[Rated]) -> bool:
    """Whether there is a rating among them."""
    return any(each.rating != NO_RATING for each in ratings)


def _turn(rated: Sequence[Rated], turn: int) -> float | None:
    values = [each.rating for each in rated if each.turn == turn]
    return sum(values) / len(values) if values else None
