"""How well samples tell a mean: the 95 % interval of a win rate, and the standard error of any mean.

Values are those of independent prompts: of several responses to one prompt, the mean counts as one value.
"""

import math
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_DOUBT = 0.05
"""The share of samples whose interval may miss the mean."""
_ROUNDING = 1e-12
"""Values this near each other are equal."""
_LEAST_DOUBT, _MOST_DOUBT = 1e-4, 3.0
"""In coins; chosen by simulation, over means from 0.4 to 0.99, spreads of all sizes, and 8 to 512 values."""


def means_of(values: Iterable[tuple[Hashable, float]]) -> list[float]:
    """The mean of the values of each prompt, or of another unit that is independent; from pairs of unit and value."""
    by_unit: dict[Hashable, list[float]] = {}
    for unit, value in values:
        by_unit.setdefault(unit, []).append(value)
    return [sum(group) / len(group) for group in by_unit.values()]


def mean_interval(values: ArrayLike, together: int = 1) -> tuple[Array, Array]:
    """The ends of the 95 % interval of the mean of independent values in [0, 1], shape (..., n): two arrays (...).

    Of several means, as many as `together`, all intervals hold at once in 95 % of samples (Bonferroni).

    It is Wilson's score interval at the effective number of coins n/d, where d is the variance as a share of that of
    coins with the same mean (the design effect of surveys: Korn and Graubard 1998, Dean and Pagano 2015). Values of 0
    and 1 have d = 1, so theirs is Wilson's interval itself. Below that, d is an estimate, which two things account for:
    Student's quantile with (n − 1)/(1 − d) degrees of freedom, and a doubt of up to three coins, added to both
    variances. It grows with the skewness: where one value makes up nearly all of the spread, as happens near 0 and 1,
    the sample says little of the rare values that it lacks.
    """
    from scipy.special import stdtrit

    found = _coins(np.asarray(values, dtype=np.float64))
    return _wilson(found.mean, found.worth, stdtrit(found.freedom, 1 - _DOUBT / 2 / together))


def even_p_value(values: ArrayLike) -> float:
    """The two-sided p-value of the mean of independent values in [0, 1], shape (n,), being 1/2.

    It is that of the test which `mean_interval` inverts: below 5 % exactly where 1/2 lies outside of the interval.
    """
    from scipy.special import ndtr, stdtr

    found = _coins(np.asarray(values, dtype=np.float64))
    statistic = -2 * abs(float(found.mean) - 0.5) * math.sqrt(found.worth)
    return 2 * float(stdtr(found.freedom, statistic) if math.isfinite(found.freedom) else ndtr(statistic))


class _Coins(NamedTuple):
    """As many coins as tell a mean as well as the values do: arrays (...)."""

    mean: Array
    worth: Array
    """How many coins."""
    freedom: Array
    """Degrees of freedom of Student's quantile."""


def _coins(sample: Array) -> _Coins:
    count, mean = sample.shape[-1], np.clip(sample.mean(axis=-1), 0.0, 1.0)
    variance = sample.var(axis=-1, ddof=1) if count > 1 else np.zeros_like(mean)
    doubt = _MOST_DOUBT * _one_values_share(sample) ** 3 + _LEAST_DOUBT
    share = (count * variance + doubt) / (count * mean * (1 - mean) + variance + doubt)
    share = np.minimum(share, 1.0) if count > 1 else np.ones_like(mean)
    with np.errstate(divide="ignore"):
        freedom = np.where(share < 1, max(count - 1, 1) / (1 - share), np.inf)
    return _Coins(mean, count / share, freedom)


class Ratio(NamedTuple):
    """How well a ratio of sums is known."""

    error: float | None
    """Its standard error; None of a single unit."""
    low: float
    high: float
    """The ends of its 95 % interval."""


def ratio_interval(sums: ArrayLike, weights: ArrayLike, together: int = 1) -> Ratio:
    """How well Σ sums / Σ weights is known, from independent units (n,) of different weights, such as questions with
    several answers each; a sum is from 0 to its weight.

    It is the interval of `mean_interval`, with the variance of the linearised ratio, which may be above that of coins;
    `together` as there.
    """
    from scipy.special import stdtrit

    total, weight = np.asarray(sums, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    ratio, count = float(total.sum() / weight.sum()), len(total)
    if count < 2:
        low, high = _wilson(np.asarray(ratio), np.asarray(1.0), np.asarray(stdtrit(np.inf, 1 - _DOUBT / 2 / together)))
        return Ratio(None, float(low), float(high))
    values = ratio + (total - ratio * weight) / weight.mean()
    variance = values.var(ddof=1)
    doubt = _MOST_DOUBT * _one_values_share(values) ** 3 + _LEAST_DOUBT
    share = (count * variance + doubt) / (count * ratio * (1 - ratio) + variance + doubt)
    quantile = np.asarray(stdtrit(count - 1, 1 - _DOUBT / 2 / together))
    low, high = _wilson(np.asarray(ratio), np.asarray(count / share), quantile)
    return Ratio(float(np.sqrt(variance / count)), float(low), float(high))


def standard_error(values: ArrayLike) -> float | None:
    """The standard error of the mean of independent values, shape (n,); None for a single one."""
    sample = np.asarray(values, dtype=np.float64)
    return float(sample.std(ddof=1) / np.sqrt(len(sample))) if len(sample) > 1 else None


def _wilson(mean: Array, count: Array, quantile: Array) -> tuple[Array, Array]:
    """The means that lie within `quantile` of their own standard errors of the one observed."""
    square = quantile**2 / count
    centre = (mean + square / 2) / (1 + square)
    half = np.sqrt(square * (mean * (1 - mean) + square / 4)) / (1 + square)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _one_values_share(sample: Array) -> Array:
    """Squared skewness over n, shape (...): near 1 if a single value of many makes up the whole spread, else near 0."""
    deviations = sample - sample.mean(axis=-1, keepdims=True)
    largest = np.abs(deviations).max(axis=-1, keepdims=True)
    scaled = deviations / np.where(largest > _ROUNDING, largest, np.inf)
    third, second = (scaled**3).mean(axis=-1), (scaled**2).mean(axis=-1)
    return np.asarray(third**2 / (sample.shape[-1] * np.where(second > 0, second, 1.0) ** 3))
