"""The charts of a comparison: curves by iteration, and what is gained against what is spent."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...benchmarks.base import Figure
from .chart import Chart, Line, Point, colour_of, marker
from .entries import TRAINED, Entry
from .tradeoffs import Tradeoff

_TRAINED = {figure.name for figure in TRAINED.values()}
_FEW = 3
"""Largest number of runs for which intervals are drawn."""


def titled(figure: Figure) -> str:
    """A figure's title; of a benchmark's that only some recipes have, the name, which says of which."""
    return figure.name if "/" in figure.name and figure.name not in _TRAINED else figure.title


def legend_of(labels: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each run's label, colour and marker."""
    return [(label, colour_of(place), marker(place, 5, 5)) for place, label in enumerate(labels)]


def curves_of(entries: Sequence[Entry], figures: Sequence[Figure]) -> Iterator[Chart]:
    """A chart for each figure, with a line for each run."""
    for figure in figures:
        lines = [
            Line(entry.label, place, list(_curve(entry, figure, intervals=len(entries) <= _FEW)))
            for place, entry in enumerate(entries)
        ]
        yield Chart(titled(figure), "iteration", figure.unit, lines, whole=True)


def tradeoff_chart(found: Tradeoff, labels: Sequence[str]) -> Chart:
    """A chart in which a policy is a point, a run is a line, and the efficient policies are ringed."""
    lines = [
        Line(
            label,
            place,
            [Point(each.spent, each.gained, ringed=each.efficient) for each in found.points if each.label == label],
        )
        for place, label in enumerate(labels)
    ]
    return Chart(titled(found.figure), found.spent, f"{found.figure.better} is better", lines)


def _curve(entry: Entry, figure: Figure, *, intervals: bool) -> Iterator[Point]:
    for row in entry.rows:
        if (value := row.get(figure.name)) is not None:
            ends: Sequence[Any] = [row.get(end) for end in figure.interval or ()] if intervals else ()
            yield Point(row["iteration"], value, *ends)
