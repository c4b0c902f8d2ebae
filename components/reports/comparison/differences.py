"""By how much runs differ on a figure: with intervals, and with p-values that are corrected for the number of runs.

Differences are those from a baseline. Where both runs answered the same prompts and were compared with the same
opponent, they are paired by prompt; else they are those of independent figures (MOVER: Newcombe 1998, Zou and Donner
2008, which for a figure with a standard error is the usual normal interval). Intervals hold one by one; p-values are
corrected by Holm's method (1979) for all runs that are compared with the baseline on a figure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...benchmarks.base import Figure
from ...benchmarks.shares import Shares, difference_p_value, interval
from ...benchmarks.shares import difference as paired_difference
from ...core.errors import UserError
from ...storage import layout
from ...storage.units import require_manifest
from ..selection import measurements
from .entries import Entry

SIGNIFICANT = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Value:
    """A figure of a run's last policy."""

    value: float
    low: float | None = None
    high: float | None = None
    """The ends of its 95 % interval; None where the figure tells no error."""
    shares: Shares | None = None
    """What each prompt adds to it; None where the figure is no ratio of sums over prompts."""
    prompts: str = ""
    """Identity of the prompts and of the opponent's responses: only where it is equal, shares pair."""


@dataclass(frozen=True)
class Difference:
    """A figure less the baseline's."""

    value: float
    low: float | None = None
    high: float | None = None
    """The ends of its 95 % interval; None where one of the two figures tells no error."""
    p: float | None = None
    """Corrected for the number of runs."""
    pairs: int = 0
    """By how many prompts, or seeds, it is paired; 0: it is not."""

    def verdict(self, figure: Figure) -> str:
        """What it says, in a word or two."""
        if self.p is None:
            return "no interval" if self.value else "equal"
        if self.p > SIGNIFICANT:
            return "not shown to differ"
        direction = "higher" if self.value > 0 else "lower"
        return direction if not figure.better else "better" if direction == figure.better else "worse"


def values_of(entry: Entry, figures: Sequence[Figure]) -> dict[str, Value]:
    """Figures of the last policy of a run by name, those that were measured.

    Raises:
        UserError: the records of a figure say something else than the report.
    """
    measured, names = measurements(entry.reported, entry.oracle), _own_prompts(entry)
    found = {}
    for figure in figures:
        if (value := entry.last.get(figure.name)) is not None:
            known = measured.get(figure.name)
            shares = known.shares if known else None
            found[figure.name] = _of_shares(entry, figure, value, shares, names) if shares else _reported(entry, figure)
    return found


def _reported(entry: Entry, figure: Figure) -> Value:
    """A figure with the interval that the report has, or that of its standard error."""
    row, value = entry.last, entry.last[figure.name]
    if figure.interval and row.get(figure.interval[0]) is not None:
        return Value(value, row[figure.interval[0]], row[figure.interval[1]])
    if (error := row.get(figure.error)) is not None:
        return Value(value, value - _NORMAL * error, value + _NORMAL * error)
    return Value(value)


def _of_shares(entry: Entry, figure: Figure, value: float, shares: Shares, own_prompts: Mapping[str, str]) -> Value:
    """A ratio of sums over prompts."""
    found = interval(shares)
    if abs(found.value - value) > _ROUNDING * shares.scale:
        root = entry.reported.store.uri
        raise UserError(
            f"{root}: its report has {figure.name} {value:.6g}, and its records say {found.value:.6g}: report again: "
            f"nashflow report {root}"
        )
    return Value(value, found.low, found.high, shares, own_prompts.get(figure.name, ""))


def _own_prompts(entry: Entry) -> dict[str, str]:
    """Identity of the held-out prompts and of the reference's responses, for the figures that are measured on them.

    Benchmarks of questions of their own have the same ones in all runs, or else are left out.
    """
    reading = [each for each in entry.shape.benchmarks if "opponents" in each.reads]
    if not reading:
        return {}
    units = (layout.held_out(), layout.evaluation(0, "opponents"))
    identity = " ".join(require_manifest(entry.reported.store, unit).digest for unit in units)
    return {figure.name: identity for each in reading for figure in each.measures(entry.oracle)}


def difference(base: Value, other: Value) -> Difference:
    """How much more the other run has than the baseline; p is not corrected yet."""
    ours, theirs = (other.shares, base.shares) if base.prompts == other.prompts else (None, None)
    if ours and theirs and (paired := paired_difference(ours, theirs)):
        return Difference(*paired, difference_p_value(ours, theirs), len(ours.parts.keys() & theirs.parts.keys()))
    value = other.value - base.value
    if base.low is None or base.high is None or other.low is None or other.high is None:
        return Difference(value)
    low = value - math.hypot(other.value - other.low, base.high - base.value)
    high = value + math.hypot(other.high - other.value, base.value - base.low)
    return Difference(value, low, high, _normal_p_value(value, value - low if value > 0 else high - value))


def difference_over_seeds(base: Mapping[int, float], other: Mapping[int, float]) -> Difference:
    """How much more runs of one recipe have than those of another, by their values of each seed.

    Paired where both have the same seeds, else by Welch's t; without an interval where one has a single seed.
    """
    from scipy.special import stdtr, stdtrit

    ours, theirs = np.array(list(other.values())), np.array([*base.values()])
    value = float(ours.mean() - theirs.mean())
    if min(len(ours), len(theirs)) < 2:
        return Difference(value)
    pairs = len(ours) if base.keys() == other.keys() else 0
    if pairs:
        variances = [np.var([other[seed] - base[seed] for seed in base], ddof=1) / pairs]
        freedoms = [pairs - 1]
    else:
        variances = [sample.var(ddof=1) / len(sample) for sample in (ours, theirs)]
        freedoms = [len(ours) - 1, len(theirs) - 1]
    if not (variance := float(sum(variances))):
        return Difference(value, value, value, 0.0 if value else 1.0, pairs)
    freedom = variance**2 / sum(float(part) ** 2 / free for part, free in zip(variances, freedoms, strict=True))
    error = math.sqrt(variance)
    half = float(stdtrit(freedom, 1 - SIGNIFICANT / 2)) * error
    return Difference(value, value - half, value + half, 2 * float(stdtr(freedom, -abs(value) / error)), pairs)


def corrected(found: Sequence[Difference | None]) -> list[Difference | None]:
    """The differences of several runs from one baseline, with p-values by Holm's method."""
    known = sorted((each.p, place) for place, each in enumerate(found) if each and each.p is not None)
    made, most = list(found), 0.0
    for rank, (p, place) in enumerate(known):
        most = max(most, min(1.0, p * (len(known) - rank)))
        each = made[place]
        assert each
        made[place] = replace(each, p=most)
    return made


_NORMAL = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above."""


def _normal_p_value(value: float, half: float) -> float:
    """The p-value of a difference being 0, by the side of its 95 % interval that is towards 0."""
    from scipy.special import ndtr

    if not half:
        return 0.0 if value else 1.0
    return 2 * float(ndtr(-_NORMAL * abs(value) / half))
