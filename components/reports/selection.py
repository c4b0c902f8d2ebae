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
from ..benchmarks.shares import Interval, Shares, difference, interval
from ..iterations.units import Shape
from ..oracles.oracle_settings import OracleSettings
from .reported import Reported

_NORMAL = 1.959963984540054
"""Half of a normal 95 % interval, in standard errors."""


@dataclass(frozen=True)
class Measurement:
    """A figure of a run's last policy."""

    value: float
    shares: Shares | None = None
    """What each prompt adds to it; None where the figure is no ratio of sums over prompts."""
    error: float | None = None
    """Its standard error, where it has one."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands among others."""

    value: float
    interval: Interval | None
    """Simultaneous over all runs; None where the figure is exact, or tells no error."""
    behind: Interval | None
    """How much worse than the best one it is, simultaneous over all others; None of the best one itself, and where the
    figure tells no error. Paired by prompt where the figure tells what each adds to it."""


class Ranking(NamedTuple):
    """Several runs on one figure."""

    best: int
    """The place of the best one, the first of equals."""
    standings: list[Standing]


def figures_of(reported: Reported, oracle: OracleSettings) -> dict[str, Figure]:
    """The figures that a run's benchmarks measure under its oracle, by name."""
    return {figure.name: figure for each in Shape.of(reported.run).benchmarks for figure in each.measures(oracle)}


def measurements(reported: Reported, oracle: OracleSettings) -> dict[str, Measurement]:
    """The figures of the last finished policy of a run with this oracle, by name."""
    shape, row = Shape.of(reported.run), reported.summary["iterations"][-1]
    found = {}
    for benchmark in shape.due(row["iteration"]):
        shares = benchmark.shares(reported.store, row["iteration"], oracle)
        for figure in benchmark.measures(oracle):
            if (value := row.get(figure.name)) is not None:
                found[figure.name] = Measurement(value, shares.get(figure.name), _error(figure, row))
    return found


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


def _error(figure: Figure, row: Mapping[str, float | None]) -> float | None:
    """The standard error of a figure, or else the one that its 95 % interval comes to."""
    if figure.error:
        return row.get(figure.error)
    low, high = (row.get(end) for end in figure.interval or ("", ""))
    return None if low is None or high is None else (high - low) / (2 * _NORMAL)


def _interval(measured: Measurement, together: int) -> Interval | None:
    if measured.shares:
        return interval(measured.shares, together)._replace(value=measured.value)
    return None if measured.error is None else _normal(measured.value, measured.error, together)


def _behind(best: Measurement, other: Measurement, sign: int, together: int) -> Interval | None:
    if best.shares and other.shares:
        better, worse = (best.shares, other.shares) if sign > 0 else (other.shares, best.shares)
        return difference(better, worse, together)
    if best.error is None or other.error is None:
        return None
    return _normal(sign * (best.value - other.value), float(np.hypot(best.error, other.error)), together)


def _normal(value: float, error: float, together: int) -> Interval:
    from scipy.stats import norm

    half = float(norm.ppf(1 - 0.025 / together)) * error
    return Interval(value, value - half, value + half)
