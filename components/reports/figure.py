"""The figure of one run or of several: duality gap and win rate over the iterations."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .table import run_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = Mapping[str, Any]

# Okabe and Ito's colours, which the colour-blind tell apart, from the most to the least contrast with white; then
# darker ones of Tol's. There is one marker less: no two of a hundred runs look the same.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"),
    *("#882255", "#999933", "#332288", "#888888", "#AA4499", "#661100"),
)
MARKERS = "osD^vPX<>p*h"
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "font.size": 11,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
}
_EXACT = "exact iterate of the same method"
_PANEL_INCHES, _HEIGHT_INCHES, _DPI = 4.6, 3.9, 144
_LETTERS_PER_INCH, _WARNING_LINE_INCHES = 15, 0.14
_LOGARITHMIC_FROM = 20.0
_FEW = 3
"""Largest number of runs for which win rate intervals are drawn and the legend is below the panels."""
_LEGEND_INCHES, _HIGHER_INCHES = 2.6, 0.8


class _Line(NamedTuple):
    """How one run is drawn."""

    label: str
    colour: str
    marker: str
    shift: float
    """In iterations: keeps the intervals of several runs apart."""


def draw(summaries: Sequence[Summary], warning: str = "") -> bytes:
    """A PNG with a panel for each figure that a run has: its duality gap, its win rate or else its KL to the reference.

    `warning` stands above the panels. Equal summaries give equal bytes.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = _lines(summaries)
    panels = [panel for panel, name in ((_gap, "duality_gap"), (_win_rate, "win_rate")) if _any(summaries, name)]
    panels = panels or [_kl]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
        matplotlib.rcParams.update(STYLE)
        size = (_PANEL_INCHES * len(panels), _HEIGHT_INCHES)
        if _are_many(lines):
            size = (size[0] + _LEGEND_INCHES, size[1] + _HIGHER_INCHES)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        for number, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), number)
            panel(axes, summaries, lines)
            _label_iterations(axes, summaries)
        _add_legend(figure, beside=_are_many(lines))
        if warning:
            _add_warning(figure, warning)
        sink = io.BytesIO()
        # Without the library's version in it.
        figure.savefig(sink, format="png", dpi=_DPI, metadata={"Software": None})
    return sink.getvalue()


def _gap(axes: "Axes", summaries: Sequence[Summary], lines: Sequence[_Line]) -> None:
    axes.set_title("Distance from the Nash equilibrium")
    axes.set_ylabel("duality gap (evaluation.tau)")
    values = []
    for summary, line in zip(summaries, lines, strict=True):
        iterations, gaps = _series(summary, "duality_gap")
        if gaps:
            axes.plot(iterations, gaps, label=line.label, color=line.colour, marker=line.marker)
        exact_iterations, exact = _series(summary, "duality_gap_exact")
        if exact:
            width = 0.8 if _are_many(lines) else None
            axes.plot(exact_iterations, exact, "--", label=_EXACT, color=line.colour, linewidth=width)
        values += [*gaps, *exact]
    if min(values) > 0 and max(values) / min(values) >= _LOGARITHMIC_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.set_ylim(bottom=0)


def _win_rate(axes: "Axes", summaries: Sequence[Summary], lines: Sequence[_Line]) -> None:
    axes.set_title("Win rate against the reference")
    many = _are_many(lines)
    spread = max(end for summary in summaries for side in _intervals(summary) for end in side)
    axes.set_ylabel(f"win rate, 95 % intervals within ±{spread:.3f}" if many else "win rate, 95 % interval")
    axes.axhline(0.5, color="0.4", linestyle=":", linewidth=1.5)
    for summary, line in zip(summaries, lines, strict=True):
        iterations, rates = _series(summary, "win_rate")
        axes.errorbar(
            [iteration + line.shift for iteration in iterations],
            rates,
            None if many else _intervals(summary),
            label=line.label,
            color=line.colour,
            marker=line.marker,
            capsize=3,
            elinewidth=1.2,
        )


def _intervals(summary: Summary) -> list[list[float]]:
    """How far the 95 % intervals of the win rates reach below and above them."""
    rates, low, high = (_series(summary, name)[1] for name in ("win_rate", "win_rate_low", "win_rate_high"))
    # At a rate of 0 or 1 rounding may put the rate a last bit outside its interval.
    return [
        [max(0.0, rate - end) for rate, end in zip(rates, low, strict=True)],
        [max(0.0, end - rate) for rate, end in zip(rates, high, strict=True)],
    ]


def _kl(axes: "Axes", summaries: Sequence[Summary], lines: Sequence[_Line]) -> None:
    axes.set_title("Distance from the reference")
    axes.set_ylabel("KL divergence, nats")
    for summary, line in zip(summaries, lines, strict=True):
        axes.plot(*_series(summary, "kl"), label=line.label, color=line.colour, marker=line.marker)


def _label_iterations(axes: "Axes", summaries: Sequence[Summary]) -> None:
    from matplotlib.ticker import MaxNLocator

    last = max(row["iteration"] for summary in summaries for row in summary["iterations"])
    axes.set_xlabel("iteration")
    axes.set_xlim(-0.3, max(last, 1) + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _add_legend(figure: "Figure", *, beside: bool) -> None:
    """One entry per run, and one for all exact iterates, drawn in the colours of their runs."""
    from matplotlib.lines import Line2D

    panels = [axes.get_legend_handles_labels() for axes in figure.axes]
    entries = {label: handle for panel in reversed(panels) for handle, label in zip(*panel, strict=True)}
    if entries.pop(_EXACT, None):
        label = "exact iterate" if beside else _EXACT
        entries[label] = Line2D([], [], color="0.4", linestyle="--", linewidth=0.8 if beside else None)
    if beside:
        figure.legend(entries.values(), entries.keys(), loc="outside right upper", borderaxespad=0.0)
    else:
        columns = min(3, len(entries))
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, borderaxespad=0.0)


def _add_warning(figure: "Figure", warning: str) -> None:
    """The warning's lines above the panels, which lose no room to them."""
    width, height = figure.get_size_inches()
    said = [
        part
        for line in warning.splitlines()
        for part in textwrap.wrap(line, int(_LETTERS_PER_INCH * width), break_on_hyphens=False)
    ]
    figure.set_size_inches(width, height + _WARNING_LINE_INCHES * len(said))
    figure.suptitle("\n".join(said), fontsize=8, color="#b35900", parse_math=False)


def _lines(summaries: Sequence[Summary]) -> list[_Line]:
    shift = 0.06 if len(summaries) <= _FEW else 0.0
    middle = (len(summaries) - 1) / 2
    return [
        _Line(label, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], shift * (i - middle))
        for i, label in enumerate(run_labels(summaries))
    ]


def _are_many(lines: Sequence[_Line]) -> bool:
    return len(lines) > _FEW


def _series(summary: Summary, name: str) -> tuple[list[int], list[float]]:
    """The iterations that have the figure `name`, and its values."""
    points = [(row["iteration"], row[name]) for row in summary["iterations"] if row[name] is not None]
    return [iteration for iteration, _ in points], [value for _, value in points]


def _any(summaries: Sequence[Summary], name: str) -> bool:
    return any(_series(summary, name)[1] for summary in summaries)
