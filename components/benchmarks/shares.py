"""A figure as a ratio of sums over prompts: by it two policies are compared prompt by prompt.

Policies that answer the same prompts do well or badly on many of them together, so the difference of two figures is
known better than the figures themselves.
"""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy as np

from .intervals import Array, even_p_value, mean_interval, ratio_interval

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
    mine, its = _side_by_side(one, other)
    if len(mine) < 2:
        return None
    if _are_means(mine, its):
        halves = (1 + mine[:, 0] - its[:, 0]) / 2
        low, high = mean_interval(halves, together)
        return Interval(*(one.scale * (2 * float(each) - 1) for each in (halves.mean(), low, high)))
    value, error = _moved(mine, its)
    half = _quantile(len(mine), together) * error
    return Interval(*(one.scale * (value + end) for end in (0.0, -half, half)))


def difference_p_value(one: Shares, other: Shares) -> float | None:
    """The two-sided p-value of the two figures being equal, of the test that `difference` inverts; None as there."""
    from scipy.special import stdtr

    mine, its = _side_by_side(one, other)
    if len(mine) < 2:
        return None
    if _are_means(mine, its):
        return even_p_value((1 + mine[:, 0] - its[:, 0]) / 2)
    value, error = _moved(mine, its)
    return 2 * float(stdtr(len(mine) - 1, -abs(value) / error)) if error else float(value == 0)


def _side_by_side(one: Shares, other: Shares) -> tuple[Array, Array]:
    """The parts of both, (n, 2), prompt by prompt."""
    prompts = list(dict.fromkeys([*one.parts, *other.parts]))
    mine, its = (np.array([each.parts.get(prompt, (0.0, 0.0)) for prompt in prompts]) for each in (one, other))
    return mine, its


def _are_means(mine: Array, its: Array) -> bool:
    """Whether both are means over the same prompts."""
    return bool((mine[:, 1] == 1.0).all() and (its[:, 1] == 1.0).all())


def _moved(mine: Array, its: Array) -> tuple[float, float]:
    """How much greater the first ratio is, and the standard error of that."""
    (first, mine_moves), (second, its_moves) = _linearised(mine), _linearised(its)
    return first - second, float((mine_moves - its_moves).std(ddof=1) / np.sqrt(len(mine)))


def _linearised(parts: Array) -> tuple[float, Array]:
    """A ratio of sums, and by how much each prompt (n,) moves it, times n."""
    won, weights = parts.T
    ratio = float(won.sum() / weights.sum())
    return ratio, np.asarray((won - ratio * weights) / weights.mean())


def _quantile(count: int, together: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 1 - _DOUBT / 2 / together))
