"""A confidence sequence for the mean of values in [0, 1]: an interval that may be looked at after any number of them.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024, arXiv 2010.09686). Against
each mean m two gamblers bet, one that the true mean is above it, one that it is below. With the fixed stakes λ_d their
capitals after the values x_1 … x_t are

    K⁺_t(m) = 1/D Σ_d Π_i (1 + λ_d/m · (x_i − m)),    K⁻_t(m) = 1/D Σ_d Π_i (1 + λ_d/(1 − m) · (m − x_i)),

the mean over a grid of stakes ("diversified Kelly betting" there). Where the true mean is at most m, K⁺(m) is a
nonnegative supermartingale that begins at 1, so that by Ville's inequality it ever reaches 2/α with probability α/2 at
most, however often and by whatever rule one looks; likewise K⁻ (m) where it is at least m. The means against which
neither capital has reached 2/α are an interval; it holds the true mean at all times at once with probability 1 − α.

The values have to be independent of one another: of several answers to one prompt, their mean is one value.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

STAKES: Array = np.geomspace(0.01, 0.9, 10)
"""Shares of what may be staked: small ones win where the mean is near m or many values come, large ones soon."""
_STEPS = 60
"""Of the bisection for an end of the interval."""


class Bounds(NamedTuple):
    """The ends of the interval."""

    low: float
    high: float


def log_capital(values: ArrayLike, mean: float, further: int = 0, further_value: float = 0.0) -> Array:
    """log K⁺(mean) of values (..., n) in [0, 1], shape (...): how sure it is that the true mean is above `mean`.

    `further`: so many more values, each `further_value`, are counted as if they had come.
    """
    sample = np.asarray(values, dtype=np.float64)
    gains = sample / mean - 1 if mean > 0 else np.where(sample > 0, np.inf, 0.0)
    won = np.log1p(STAKES[:, None] * gains[..., None, :]).sum(axis=-1)
    if further:
        won = won + further * np.log1p(STAKES * (further_value / mean - 1))
    return np.asarray(np.logaddexp.reduce(won, axis=-1) - np.log(len(STAKES)))


def bounds(values: Sequence[float], confidence: float) -> Bounds:
    """The interval after these values; it may be asked for again after more of them."""
    sample = np.asarray(values, dtype=np.float64)
    return Bounds(_least(sample, confidence), 1 - _least(1 - sample, confidence))


def log_needed(confidence: float) -> float:
    """The logarithm of the capital against a mean that rules it out, on one side: log 2/α."""
    return float(np.log(2 / (1 - confidence)))


def _least(sample: Array, confidence: float) -> float:
    """The least mean that K⁺ does not rule out; K⁺ falls as the mean grows."""
    if not len(sample):
        return 0.0
    low, high = 0.0, float(sample.mean())
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle > 0 and log_capital(sample, middle) < log_needed(confidence):
            high = middle
        else:
            low = middle
    return low
