"""Win rate and prompts over time, in one figure."""

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nashflow.components.reports.figure import COLOURS, STYLE

from .report import Drift

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _DPI = (10.5, 3.9), 144
_LEAST_MARGIN = timedelta(minutes=5)


def draw(drift: Drift) -> bytes:
    """A PNG: the win rate against the first champion, and how far the prompts are from the first run's."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
        policies, prompts = figure.subplots(1, 2)
        _policies(policies, drift)
        _prompts(prompts, drift)
        days = [_when(row.fired.ended.ended) for row in drift.rows]
        margin = max(_LEAST_MARGIN, (days[-1] - days[0]) / 20)
        policies.set_ylim(0.0, 1.0)
        prompts.set_ylim(-0.03, 1.0)
        for axes in (policies, prompts):
            axes.set_xlim(days[0] - margin, days[-1] + margin)
            axes.tick_params(axis="x", rotation=30)
        made = io.BytesIO()
        figure.savefig(made, format="png")
    return made.getvalue()


def _when(ended: float) -> Any:
    return datetime.fromtimestamp(ended, UTC)


def _policies(axes: "Axes", drift: Drift) -> None:
    rows = [(row.fired, row.win_rate) for row in drift.rows if row.win_rate]
    axes.axhline(0.5, color="#888888", linestyle="--", linewidth=1)
    for word, colour in (
        ("promoted", COLOURS[0]),
        ("rolled back", COLOURS[1]),
        ("refused", COLOURS[3]),
        ("", COLOURS[6]),
    ):
        mine = [(fired, won) for fired, won in rows if fired.became == word]
        if mine:
            values = [won.value for _, won in mine]
            below, above = (
                [abs(end - value) for end, value in zip(ends, values, strict=True)]
                for ends in ([won.low for _, won in mine], [won.high for _, won in mine])
            )
            days = [_when(fired.ended.ended) for fired, _ in mine]
            axes.errorbar(days, values, yerr=[below, above], fmt="o", color=colour, label=word or "not decided")
    axes.set_title("win rate against the first champion")
    if rows:
        axes.legend()


def _prompts(axes: "Axes", drift: Drift) -> None:
    rows = [(row.fired, row.prompts) for row in drift.rows if row.prompts]
    axes.axhline(0.0, color="#888888", linestyle="--", linewidth=1)
    for shifted, colour, label in ((False, COLOURS[0], "as the first run's"), (True, COLOURS[1], "other ones")):
        mine = [(fired, each) for fired, each in rows if each.shifted == shifted]
        if mine:
            days, bits = [_when(fired.ended.ended) for fired, _ in mine], [each.excess for _, each in mine]
            axes.plot(days, bits, "o", color=colour, label=label)
    axes.set_title("prompts: bits from the first run's")
    if rows:
        axes.legend()
