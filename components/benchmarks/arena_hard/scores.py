"""The scores of Arena-Hard: how often a model wins against the baseline, in percent.

Every game is against the one baseline, so the Bradley-Terry model, which the benchmark fits, has a closed form: the
share of games won, with verdicts as games. It is there, too, where one side wins all, and the regression diverges.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...core.errors import UserError
from ..intervals import Array, ratio_interval

ROUNDS, SEED = 100, 42
"""Of the benchmark's bootstrap."""


class Game(NamedTuple):
    """One game of the model against the baseline."""

    question: str
    result: float
    """1: the model wins, 0: the baseline, 1/2: neither."""
    weight: int
    """As how many games it counts; 0: there is no verdict."""


@dataclass(frozen=True)
class Score:
    """A score in percent."""

    score: float
    standard_error: float | None
    """Over questions; None of a single one."""
    low: float
    high: float
    """The ends of the 95 % interval over questions, whose games are not independent."""
    official_low: float
    official_high: float
    """The ends of the benchmark's own interval: percentiles of bootstraps of games, as if these were independent."""
    wins: int
    losses: int
    ties: int
    """Games, each counted once."""
    no_verdict: int
    """Games without a verdict, which no score counts."""
    questions: int
    """With a verdict."""


def score_v01(games: Sequence[Game]) -> Score:
    """Version 0.1: the share of games won, and percentiles 2.5 and 97.5 of bootstraps.

    The bootstraps draw from the games in the order given, as the benchmark does from its file of judgments.

    Raises:
        UserError: no game has a verdict.
    """
    played = _played(games)
    rates = resampled(np.repeat([game.result for game in played], [game.weight for game in played]))
    # The benchmark takes percentiles of ratings, which are proportional to log-odds, and makes win rates of those.
    with np.errstate(divide="ignore"):
        ends = [_percentile(np.log(rates) - np.log1p(-rates), share) for share in (0.025, 0.975)]
    low, high = (float(1 / (1 + np.exp(-end))) for end in ends)
    return _score(games, played, None, low, high)


def score_v2(games: Sequence[Game]) -> Score:
    """Version 2: the mean of bootstraps, and their percentiles 5 and 95.

    Raises:
        UserError: no game has a verdict.
    """
    played = _played(both_judged(games))
    rates = resampled(np.repeat([game.result for game in played], [game.weight for game in played]))
    low, high = np.quantile(rates, [0.05, 0.95])
    return _score(games, played, float(rates.mean()), float(low), float(high))


def both_judged(games: Sequence[Game]) -> list[Game]:
    """The games, without a verdict where another game about the same question has none: version 2 leaves out the
    question."""
    left_out = {game.question for game in games if not game.weight}
    return [game._replace(weight=0) if game.question in left_out else game for game in games]


def won_of(games: Sequence[Game]) -> dict[Hashable, tuple[float, float]]:
    """What is won of the games about each question, and as how many these count; those without a verdict are left
    out."""
    sums: dict[Hashable, tuple[float, float]] = {}
    for game in _with_verdict(games):
        won, weight = sums.get(game.question, (0.0, 0.0))
        sums[game.question] = won + game.result * game.weight, weight + game.weight
    return sums


def any_judged(games: Sequence[Game]) -> bool:
    """Whether a question has verdicts in all of its games, so that version 2 has a score."""
    return any(game.weight for game in both_judged(games))


def resampled(results: Array) -> Array:
    """The means (rounds,) of results that are drawn with replacement from all."""
    rng = np.random.RandomState(SEED)
    return np.array([results[rng.choice(len(results), len(results))].mean() for _ in range(ROUNDS)])


def _played(games: Sequence[Game]) -> list[Game]:
    if not (played := _with_verdict(games)):
        raise UserError(f"none of {len(games)} games has a verdict such as [[A>B]]")
    return played


def _with_verdict(games: Sequence[Game]) -> list[Game]:
    return [game for game in games if game.weight]


def _percentile(values: Array, share: float) -> float:
    """Between the nearest two of some values, which may be infinite."""
    ordered, place = np.sort(values), share * (len(values) - 1)
    below, above = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    return float(below if below == above else below + (place % 1) * (above - below))


def _score(games: Sequence[Game], played: Sequence[Game], mean: float | None, low: float, high: float) -> Score:
    """`mean`: the score, if it is not the share of games won itself."""
    sums = won_of(played)
    won, weights = np.array(list(sums.values())).T
    interval = ratio_interval(won, weights)
    return Score(
        score=100 * (won.sum() / weights.sum() if mean is None else mean),
        standard_error=None if interval.error is None else 100 * interval.error,
        low=100 * interval.low,
        high=100 * interval.high,
        official_low=100 * low,
        official_high=100 * high,
        wins=sum(game.result == 1.0 for game in played),
        losses=sum(game.result == 0.0 for game in played),
        ties=sum(game.result == 0.5 for game in played),
        no_verdict=len(games) - len(played),
        questions=len(sums),
    )
