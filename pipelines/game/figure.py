"""The figure of `nashflow game compare`: duality gap against iterations, both on logarithmic scales."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nashflow.components.games.progress import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOOR = 1e-12
"""Gaps below this are drawn at it: what is left there is rounding."""
_DPI = 144


def draw_gaps(title: str, curves: Mapping[str, Curve]) -> bytes:
    """A PNG: of each method the median over the games, and a band from least to greatest; clamped at `FLOOR`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
        figure = Figure(figsize=(7.5, 5.0), layout="constrained")
        axes = figure.add_subplot()
        colours = matplotlib.colormaps["tab20" if len(curves) > 10 else "tab10"]
        for number, (method, curve) in enumerate(curves.items()):
            _draw_curve(axes, method, curve, colours(number))
        axes.set_title(title, parse_math=False)
        axes.set_xlabel("iterations")
        axes.set_ylabel("duality gap: median, and least to greatest")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.spines[["right", "top"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        sink = io.BytesIO()
        # Without the library's version in it.
        figure.savefig(sink, format="png", dpi=_DPI, metadata={"Software": None})
    return sink.getvalue()


def _draw_curve(axes: "Axes", method: str, curve: Curve, colour: tuple[float, ...]) -> None:
    moved = curve.updates > 0  # a logarithmic axis has no place for the reference
    updates, gaps = curve.updates[moved], np.maximum(curve.gaps[moved], FLOOR)
    axes.plot(updates, np.median(gaps, axis=-1), label=method, color=colour, linewidth=2)
    axes.plot(updates, gaps.max(axis=-1), color=colour, linewidth=0.8)
    axes.fill_between(updates, gaps.min(axis=-1), gaps.max(axis=-1), color=colour, alpha=0.08, linewidth=0)
