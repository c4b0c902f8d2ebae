"""A figure as a ratio of sums over prompts: by it two policies are compared prompt by prompt.

Policies that answer the same prompts do well or badly on many of them together, so the difference of two figures is
known better than the figures themselves.
"""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy as np

from .intervals import Array, mean_interval, ratio_interval

_DOUBT = 0.05


class Interval(NamedTuple):
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float


class Shares(NamedTuple):
    """What independent prompts or questions add to a figure, which is scale · Σ won / Σ weight."""

    parts: Mapping[Hashable, tuple[float, float]]
    """(won, weight) of each prompt, 0 ≤ won ≤ weight; those without a verdict are left out."""
    scale: float = 1.0
    """The greatest value of the figure."""


def means(values: Mapping[Hashable, float], scale: float = 1.0) -> Shares:
    """The shares of a figure that is a mean over prompts of values from 0 to 1."""
    return Shares({prompt: (value, 1.0) for prompt, value in values.items()}, scale)


def interval(shares: Shares, together: int = 1) -> Interval:
    """The figure with its 95 % interval; of several figures, as many as `together`, all hold at once (Bonferroni)."""
    won, weights = np.array(list(shares.parts.values())).T
    if (weights == 1.0).all():
        low, high = (float(end) for end in mean_interval(won, together))
    else:
        _, low, high = ratio_interval(won, weights, together)
    return Interval(*(shares.scale * each for each in (won.sum() / weights.sum(), low, high)))


def difference(one: Shares, other: Shares, together: int = 1) -> Interval | None:
    """How much greater the first figure is, paired by prompt, with its 95 % interval; None for fewer than two prompts.

    Means over the same prompts have the interval of `mean_interval`, of (1 + one − other)/2. Other ratios are
    linearised: a prompt that one of them lacks adds nothing to that one.
    """
    prompts = list(dict.fromkeys([*one.parts, *other.parts]))
    mine, its = (np.array([each.parts.get(prompt, (0.0, 0.0)) for prompt in prompts]) for each in (one, other))
    if len(prompts) < 2:
        return None
    if (mine[:, 1] == 1.0).all() and (its[:, 1] == 1.0).all():
        halves = (1 + mine[:, 0] - its[:, 0]) / 2
        low, high = mean_interval(halves, together)
        return Interval(*(one.scale * (2 * float(each) - 1) for each in (halves.mean(), low, high)))
    (first, mine_moves), (second, its_moves) = _linearised(mine), _linearised(its)
    error = float((mine_moves - its_moves).std(ddof=1) / np.sqrt(len(prompts)))
    half = _quantile(len(prompts), together) * error
    return Interval(*(one.scale * (first - second + end) for end in (0.0, -half, half)))


def _linearised(parts: Array) -> tuple[float, Array]:
    """A ratio of sums, and by how much each prompt (n,) moves it, times n."""
    won, weights = parts.T
    ratio = float(won.sum() / weights.sum())
    return ratio, np.asarray((won - ratio * weights) / weights.mean())


def _quantile(count: int, together: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 1 - _DOUBT / 2 / together))
