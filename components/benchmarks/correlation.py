"""How far two judges agree on the same answers: the rank correlation of what they say, with its interval."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_QUANTILE = 1.959963984540054
_LEAST = 10
"""Answers below which an interval says nothing."""
_DIGITS = 6
"""Values that agree to these are one."""


class Correlation(NamedTuple):
    """Spearman's ρ and the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    answers: int


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's ρ of two ratings of the same things, n each; None for fewer than three, and where all are equal."""
    from scipy.stats import rankdata

    if len(first) < 3:
        return None
    ranks = [rankdata(np.round(values, _DIGITS)) for values in (first, second)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def correlation(first: Sequence[float], second: Sequence[float]) -> Correlation | None:
    """The rank correlation of two judges' preferences on the same answers, n each.

    Its interval is Fisher's, with the standard error of Bonett and Wright (2000), √((1 + ρ²/2)/(n − 3)). None for
    fewer than ten answers, and where a judge says the same of all.
    """
    value = spearman(first, second)
    if value is None or len(first) < _LEAST:
        return None
    inside = np.clip(value, -1 + 1e-9, 1 - 1e-9)
    half = _QUANTILE * np.sqrt((1 + value**2 / 2) / (len(first) - 3))
    low, high = np.tanh(np.arctanh(inside) + np.array([-half, half]))
    return Correlation(value, float(min(low, value)), float(max(high, value)), len(first))
