"""How far a judge agrees with those who labelled pairs, or with another judge."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..benchmarks.intervals import mean_interval
from .pairs import Array, Flags, Indices

Numbers = Array | Indices | Flags
_CLASSES = (0.0, 0.5, 1.0)
_PRIOR = 1e-3
"""Weight of the penalty that keeps ratings finite where a model has won or lost all its comparisons."""

_EXACT = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10_000}


class Share(NamedTuple):
    """A mean over prompts and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def hits(label: Array, decision: Array) -> Array:
    """1 for a decision that agrees with the label, 0 for the opposite, 1/2 for no decision; shape (n,)."""
    return 1 - np.abs(label - decision)


def share(values: Numbers, group: Numbers) -> Share | None:
    """The mean of values in [0, 1], shape (n,), in which each group counts as one value; None without values.

    Of accuracy, values are `hits` on decided labels and groups are prompts: several pairs of one prompt are not
    independent. A judge that decides nothing has 1/2, as one that tosses coins.
    """
    if not len(values):
        return None
    means = by_group(values, group)
    low, high = mean_interval(means)
    return Share(float(means.mean()), float(low), float(high))


def difference(first: Array, second: Array, group: Numbers) -> Share:
    """Mean of first − second, both in [0, 1] and on the same pairs, shape (n,), with its paired 95 % interval.

    The interval is that of the mean of (1 + first − second)/2, over groups.
    """
    found = share((1 + first - second) / 2, group)
    assert found
    return Share(*(2 * each - 1 for each in found))


def by_group(values: Numbers, group: Numbers) -> Array:
    """The mean of the values of each group, in the order of the groups' numbers."""
    _, places = np.unique(group, return_inverse=True)
    return np.asarray(np.bincount(places, values) / np.bincount(places))


def kappa(first: Array, second: Array) -> float | None:
    """Cohen's κ of two raters' decisions (1, 1/2 or 0), shape (n,): (p_o − p_e)/(1 − p_e).

    p_o is the share of pairs on which they agree, and p_e what it would be if they decided independently, each with its
    own shares of the three decisions. Every pair counts in both orders, since which answer is first is arbitrary, so
    without ties κ is 2 p_o − 1. None without pairs, and where p_e is 1.
    """
    if not len(first):
        return None
    one, other = (
        np.array([np.mean(np.concatenate([rater, 1 - rater]) == each) for each in _CLASSES])
        for rater in (first, second)
    )
    expected = float(np.dot(one, other))
    return float((np.mean(first == second) - expected) / (1 - expected)) if expected < 1 else None


def ratings(players: Sequence[tuple[str, str]], outcome: Array) -> dict[str, float] | None:
    """Bradley–Terry ratings θ by player, mean 0: P(i beats j) = σ(θ_i − θ_j), of greatest likelihood.

    `outcome`, shape (n,), is 1 where the first of two players wins, 0 where the second does, 1/2 for a tie, which is
    half a win for each. None where the comparisons do not connect all players: their ratings would not compare.
    """
    from scipy.optimize import minimize
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.special import expit

    names = {name: place for place, name in enumerate(sorted({name for pair in players for name in pair}))}
    first, second = (np.array([names[pair[side]] for pair in players], dtype=np.int64) for side in (0, 1))
    links = coo_matrix((np.ones(len(players)), (first, second)), shape=(len(names), len(names)))
    if not names or connected_components(links, directed=False)[0] > 1:
        return None

    def loss(theta: Array) -> tuple[float, Array]:
        margin = theta[first] - theta[second]
        # −[z log σ(m) + (1 − z) log σ(−m)] = log(1 + e^m) − z m
        value = np.logaddexp(0, margin).sum() - np.dot(outcome, margin) + _PRIOR * np.dot(theta, theta) / 2
        slope = expit(margin) - outcome
        gradient = np.bincount(first, slope, len(names)) - np.bincount(second, slope, len(names)) + _PRIOR * theta
        return float(value), gradient

    found = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", options=_EXACT).x
    return dict(zip(names, (found - found.mean()).tolist(), strict=True))
