"""Line charts as SVG within a page: their text takes the page's colours, and each point says its value.

The page is drawn in milliseconds, where matplotlib takes seconds to be imported and to draw.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..figure import COLOURS

WIDTH, HEIGHT = 380, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 26, 40
_TICKS = 5
_SIZE = 3.5
_SHAPES = (
    "M{x0} {y}A{s} {s} 0 1 0 {x1} {y}A{s} {s} 0 1 0 {x0} {y}Z",
    "M{x0} {y0}H{x1}V{y1}H{x0}Z",
    "M{x} {y0}L{x1} {y1}H{x0}Z",
    "M{x} {y0}L{x1} {y}L{x} {y1}L{x0} {y}Z",
)
"""A circle, a square, a triangle and a diamond: with the colours, no two of fifty runs look the same."""


class Point(NamedTuple):
    """A point of a line, with the ends of its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    ringed: bool = False


@dataclass(frozen=True)
class Line:
    """A run's line."""

    label: str
    place: int
    """Of the run among the runs: decides colour and shape."""
    points: Sequence[Point]


class Mark(NamedTuple):
    """A tick: where it stands in the picture, and its number."""

    at: float
    text: str


class Drawn(NamedTuple):
    """A line in the picture."""

    colour: str
    path: str
    band: str
    """The outline of the intervals; empty where there are none."""
    markers: Sequence[tuple[str, str]]
    """The outline of each point's marker, and what it says."""
    rings: Sequence[tuple[float, float]]


class Chart:
    """A chart: everything that the template needs, in the picture's own units."""

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM

    def __init__(self, title: str, x_name: str, y_name: str, lines: Sequence[Line], *, whole: bool = False):
        """`whole`: whether x has whole numbers alone."""
        self.title, self.x_name, self.y_name = title, x_name, y_name
        points = [point for line in lines for point in line.points]
        ends = [end for point in points for end in (point.low, point.high) if end is not None]
        self._x = _Axis([point.x for point in points], self.left, self.right, least=1.0 if whole else 0.0)
        self._y = _Axis([*(point.y for point in points), *ends], self.bottom, self.top)
        self.x_marks, self.y_marks = self._x.marks, self._y.marks
        self.lines = [self._drawn(line) for line in lines if line.points]
        said = (f"{line.label}: {', '.join(f'{point.y:.4g}' for point in line.points)}" for line in lines)
        self.described = f"{title} by {x_name}. {'; '.join(said)}"

    def _drawn(self, line: Line) -> Drawn:
        at = [(self._x.at(point.x), self._y.at(point.y)) for point in line.points]
        upper = [(self._x.at(point.x), self._y.at(point.high)) for point in line.points if point.high is not None]
        lower = [(self._x.at(point.x), self._y.at(point.low)) for point in line.points if point.low is not None]
        said = [f"{line.label}: {self.x_name} {point.x:.4g}, {self.title} {point.y:.4g}" for point in line.points]
        return Drawn(
            colour_of(line.place),
            _path(at),
            _path([*upper, *reversed(lower)]),
            [(marker(line.place, *place), text) for place, text in zip(at, said, strict=True)],
            [place for place, point in zip(at, line.points, strict=True) if point.ringed],
        )


def colour_of(place: int) -> str:
    """The colour of a run; instead of black, that of the text."""
    colour = COLOURS[place % len(COLOURS)]
    return "currentColor" if colour == "#000000" else colour


def marker(place: int, x: float, y: float) -> str:
    """The outline of a run's marker around a point."""
    ends = {"x": x, "y": y, "s": _SIZE, "x0": x - _SIZE, "x1": x + _SIZE, "y0": y - _SIZE, "y1": y + _SIZE}
    numbers = {name: f"{value:.1f}" for name, value in ends.items()}
    return _SHAPES[place % len(_SHAPES)].format(**numbers)


class _Axis:
    """From numbers to places in the picture, with round ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float, least: float = 0.0):
        low, high = min(values), max(values)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self._low, self._high, self._start, self._end = low - room, high + room, start, end
        step = max(_round((self._high - self._low) / _TICKS), least)
        first, last = math.ceil(self._low / step), math.floor(self._high / step)
        digits = max(0, -math.floor(math.log10(step)))
        numbers = [number * step + 0.0 for number in range(first, last + 1)]
        self.marks = [Mark(self.at(number), f"{number:,.{digits}f}") for number in numbers]

    def at(self, value: float) -> float:
        """The place of a number."""
        return self._start + (value - self._low) / (self._high - self._low) * (self._end - self._start)


def _round(step: float) -> float:
    """The next of 1, 2, 5, 10, … at some power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(factor for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) if places else ""


CHARTS = """\
{% macro chart(drawn) %}
<svg class="chart" viewBox="0 0 {{ drawn.width }} {{ drawn.height }}" role="img" aria-label="{{ drawn.described }}">
<text class="name" x="{{ drawn.left }}" y="16">{{ drawn.title }}</text>
{% for mark in drawn.y_marks %}
<path class="grid" d="M{{ drawn.left }} {{ mark.at | round(1) }}H{{ drawn.right }}"/>
<text x="{{ drawn.left - 6 }}" y="{{ mark.at | round(1) + 4 }}" text-anchor="end">{{ mark.text }}</text>
{% endfor %}
{% for mark in drawn.x_marks %}
<text x="{{ mark.at | round(1) }}" y="{{ drawn.bottom + 15 }}" text-anchor="middle">{{ mark.text }}</text>
{% endfor %}
<path class="axis" d="M{{ drawn.left }} {{ drawn.top }}V{{ drawn.bottom }}H{{ drawn.right }}"/>
<text x="{{ (drawn.left + drawn.right) / 2 }}" y="{{ drawn.height - 8 }}" text-anchor="middle">{{ drawn.x_name }}</text>
<text transform="translate(12 {{ (drawn.top + drawn.bottom) / 2 }}) rotate(-90)" text-anchor="middle">
{{- drawn.y_name }}</text>
<g class="runs">
{% for line in drawn.lines %}
{% if line.band %}
<path d="{{ line.band }}Z" fill="{{ line.colour }}" opacity="0.12"/>
{% endif %}
<path d="{{ line.path }}" fill="none" stroke="{{ line.colour }}" stroke-width="1.5"/>
{% for shape, said in line.markers %}
<path d="{{ shape }}" fill="{{ line.colour }}"><title>{{ said }}</title></path>
{% endfor %}
{% for x, y in line.rings %}
<circle cx="{{ x | round(1) }}" cy="{{ y | round(1) }}" r="7" fill="none" stroke="currentColor"/>
{% endfor %}
{% endfor %}
</g>
</svg>
{% endmacro %}
{% macro legend(entries) %}
<p>
{% for label, colour, shape in entries %}
<span class="entry"><svg class="marker" viewBox="0 0 10 10"><g class="runs"><path d="{{ shape }}" fill="{{ colour }}"/>
</g></svg> {{ label }}</span>
{% endfor %}
</p>
{% endmacro %}
"""
"""The macros `chart` of a `Chart` and `legend` of labels, colours and outlines."""

STYLE = """\
<style>
  .charts { display: flex; flex-wrap: wrap; gap: .5rem }
  .chart { flex: 1 1 20rem; max-width: 26rem; font-size: 11px; fill: currentColor }
  .chart .name { font-size: 13px; font-weight: 600 }
  .chart .grid { stroke: currentColor; opacity: .15 } .chart .axis { stroke: currentColor; fill: none; opacity: .6 }
  .marker { width: .8rem; height: .8rem } .entry { margin-right: 1.2rem }
  @media (prefers-color-scheme: dark) { .runs { filter: brightness(1.6) } }
</style>
"""
"""Stands in the page's body, where the charts are."""
