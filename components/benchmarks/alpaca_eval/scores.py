"""Win rates of AlpacaEval 2, as its leaderboard defines them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.errors import UserError
from ..intervals import Array, mean_interval, standard_error

Preference = float | None
"""1: the baseline's answer is better, 2: the model's; 1.5, or 0, is a draw; None or NaN: the judge has said nothing."""


@dataclass(frozen=True)
class WinRates:
    """Win rates in percent, and counts; the leaderboard's columns have these names."""

    win_rate: float
    standard_error: float | None
    """Of the mean, in percent; None of a single preference."""
    low: float
    high: float
    """The ends of the 95 % interval of the win rate."""
    discrete_win_rate: float
    """With each preference rounded to 1 or 2, and 1.5 half a win."""
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    """Questions with a preference."""
    no_preference: int
    """Questions without one, which no rate counts."""


def win_rates(preferences: Sequence[Preference]) -> WinRates:
    """The win rates over questions, of which each has one preference.

    Raises:
        UserError: none of them is a preference.
    """
    said = as_numbers(preferences)
    shares = _shares(np.where(said == 0.0, 1.5, said))
    if not len(shares):
        raise UserError(f"none of {len(said)} preferences is one: a preference is a number from 1 to 2")
    error = standard_error(shares)
    low, high = mean_interval(shares)
    rounded = np.where(said == 1.5, 0.0, np.round(said))
    return WinRates(
        win_rate=float(shares.mean() * 100),
        standard_error=None if error is None else error * 100,
        low=float(low) * 100,
        high=float(high) * 100,
        discrete_win_rate=float(_shares(np.where(rounded == 0.0, 1.5, rounded)).mean() * 100),
        n_wins=int((shares > 0.5).sum()),
        n_wins_base=int((shares < 0.5).sum()),
        n_draws=int(((said == 1.5) | (said == 0.0)).sum()),
        n_total=len(shares),
        no_preference=len(said) - len(shares),
    )


def is_preference(said: Preference) -> bool:
    """Whether it is one."""
    return said is not None and (said == 0.0 or 1.0 <= said <= 2.0)


def as_numbers(preferences: Sequence[Preference]) -> Array:
    """Preferences as an array, with NaN where there is none."""
    return np.array([np.nan if each is None else each for each in preferences], dtype=np.float64)


def _shares(preferences: Array) -> Array:
    """What the model has of each win, from 0 to 1; what is no preference is left out."""
    return preferences[(preferences >= 1.0) & (preferences <= 2.0)] - 1
