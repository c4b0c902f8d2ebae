"""Which of several runs is best on a figure: with intervals that hold for all of them at once, and what is not worse.

The best of many tries is chosen by the same sample that measures it, so an interval that is right for one run is too
narrow for the best of m. Intervals here are simultaneous (Bonferroni): all m hold at once in 95 % of samples, and so do
the m − 1 differences from the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..benchmarks.base import Figure
from ..benchmarks.intervals import mean_interval, means_of
from ..iterations.units import Shape
from ..storage import layout
from ..storage.records import COMPARISONS
from ..storage.units import require_manifest
from .reported import Reported


@dataclass(frozen=True)
class Measurement:
    """A figure of a run's last policy."""

    value: float
    means: Mapping[int, float]
    """The mean of each prompt, in [0, 1], by row; empty where the figure is no mean of comparisons."""
    error: float | None = None
    """Its standard error, where it has one."""


class Interval(NamedTuple):
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """Where a run stands among others."""

    value: float
    interval: Interval | None
    """Simultaneous over all runs; None where the figure is exact, or tells no error."""
    behind: Interval | None
    """How much worse than the best one it is, simultaneous over all others; None of the best one itself, and where the
    figure tells no error. Paired by prompt where both were compared on the same ones."""


class Ranking(NamedTuple):
    """Several runs on one figure."""

    best: int
    """The place of the best one, the first of equals."""
    standings: list[Standing]


def measurement(reported: Reported, figure: Figure) -> Measurement | None:
    """A figure of the last finished policy of a run; None where the run has not measured it."""
    row = reported.summary["iterations"][-1]
    if (value := row.get(figure.name)) is None:
        return None
    means: dict[int, float] = {}
    if figure.compared:
        (kind,) = (each.kind for each in Shape.of(reported.run).benchmarks if figure in each.figures)
        manifest = require_manifest(reported.store, layout.evaluation(row["iteration"], kind))
        rows = [each for each in manifest.rows(reported.store, COMPARISONS) if not each["abstained"]]
        judged = list(dict.fromkeys(each["row_id"] for each in rows))
        means = dict(zip(judged, means_of((each["row_id"], each["probability"]) for each in rows), strict=True))
    return Measurement(value, means, row.get(figure.error))


def rank(figure: Figure, measured: Sequence[Measurement]) -> Ranking:
    """The standing of each run, in their order. `figure` says which direction is better."""
    sign = 1 if figure.better == "higher" else -1
    best = max(range(len(measured)), key=lambda place: sign * measured[place].value)
    others = len(measured) - 1
    return Ranking(
        best,
        [
            Standing(
                each.value,
                _interval(each, len(measured)),
                None if place == best else _behind(measured[best], each, sign, others),
            )
            for place, each in enumerate(measured)
        ],
    )


def _interval(measured: Measurement, together: int) -> Interval | None:
    if measured.means:
        low, high = mean_interval(list(measured.means.values()), together)
        return Interval(measured.value, float(low), float(high))
    return None if measured.error is None else _normal(measured.value, measured.error, together)


def _behind(best: Measurement, other: Measurement, sign: int, together: int) -> Interval | None:
    if best.means and best.means.keys() == other.means.keys():
        halves = [(1 + sign * (mean - other.means[row])) / 2 for row, mean in best.means.items()]
        low, high = mean_interval(halves, together)
        return Interval(2 * float(np.mean(halves)) - 1, 2 * float(low) - 1, 2 * float(high) - 1)
    if best.error is None or other.error is None:
        return None
    return _normal(sign * (best.value - other.value), float(np.hypot(best.error, other.error)), together)


def _normal(value: float, error: float, together: int) -> Interval:
    from scipy.stats import norm

    half = float(norm.ppf(1 - 0.025 / together)) * error
    return Interval(value, value - half, value + half)
