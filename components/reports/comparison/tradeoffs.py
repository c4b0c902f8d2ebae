"""Which policies are worth what they cost: a figure against the KL to the reference, and against the run's cost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...benchmarks.base import Figure
from .costs import Cost, until
from .entries import Entry

SECONDS = "seconds"
_Spent = Mapping[str, Sequence[float | None]]
"""What each iteration's policy has taken, by run."""


class Point(NamedTuple):
    """A policy of a run."""

    label: str
    iteration: int
    spent: float
    gained: float
    efficient: bool
    """Whether no policy of these runs has gained more for as little, or as much for less."""


class Tradeoff(NamedTuple):
    """What all policies of the runs have gained, and for what."""

    figure: Figure
    spent: str
    """What `Point.spent` is, such as KL, nats."""
    points: Sequence[Point]


def tradeoffs(
    entries: Sequence[Entry], figure: Figure, costs: Mapping[str, Sequence[Mapping[str, Cost]]]
) -> list[Tradeoff]:
    """A figure that has a better direction against KL, where measured, and against GPU hours or else seconds."""
    kl: _Spent = {entry.label: [row.get("kl") for row in entry.rows] for entry in entries}
    cost = {label: until(spent) for label, spent in costs.items()}
    gpu: _Spent = {label: [each.gpu_hours for each in spent] for label, spent in cost.items()}
    seconds: _Spent = {label: [each.seconds for each in spent] for label, spent in cost.items()}
    held = all(spent[-1] for spent in gpu.values())
    found = [
        Tradeoff(figure, "KL to the reference, nats", _points(entries, figure, kl)),
        Tradeoff(figure, "GPU hours" if held else SECONDS, _points(entries, figure, gpu if held else seconds)),
    ]
    return [each for each in found if each.points]


def _points(entries: Sequence[Entry], figure: Figure, spent: _Spent) -> list[Point]:
    found = [
        Point(entry.label, row["iteration"], x, y, efficient=False)
        for entry in entries
        for row, x in zip(entry.rows, spent[entry.label], strict=True)
        if x is not None and (y := row.get(figure.name)) is not None
    ]
    sign = 1 if figure.better == "higher" else -1
    return [point._replace(efficient=not any(_beats(other, point, sign) for other in found)) for point in found]


def _beats(other: Point, point: Point, sign: int) -> bool:
    """Whether the other policy is at least as good in both, and better in one."""
    gained, saved = sign * (other.gained - point.gained), point.spent - other.spent
    return gained >= 0 and saved >= 0 and (gained > 0 or saved > 0)
