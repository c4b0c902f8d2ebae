"""The figure of `nashflow game compare`: duality gap against iterations, both on logarithmic scales."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashflow.components.games.progress import Curve

from .settings import Contender

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOOR = 1e-12
"""Gaps below this are drawn at it: what is left there is rounding."""
_DPI = 144
_LETTERS = 80
"""Length of a line of the legend."""

_Played = Sequence[tuple[Contender, Curve]]
_Colour = tuple[float, ...]


def draw_gaps(title: str, played: _Played) -> bytes:
    """A PNG: of each contender the median over the games, and a band from least to greatest; clamped at `FLOOR`.

    Contenders that differ in numbers alone have one colour, and no bands.
    """
    import matplotlib
    from matplotlib.figure import Figure

    groups = _groups(played)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
        figure = Figure(figsize=(7.5, 5.0), layout="constrained")
        axes = figure.add_subplot()
        colours = matplotlib.colormaps["tab20" if len(groups) > 10 else "tab10"]
        for number, group in enumerate(groups):
            _draw_group(axes, group, colours(number))
        axes.set_title(title, parse_math=False)
        axes.set_xlabel("iterations")
        games = played[0][1].gaps.shape[1]
        axes.set_ylabel("duality gap" if games == 1 else "duality gap: median, and least to greatest")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.spines[["right", "top"]].set_visible(False)
        longest = max(map(len, axes.get_legend_handles_labels()[1]))
        figure.legend(loc="outside lower center", frameon=False, ncols=max(1, _LETTERS // (longest + 6)))
        sink = io.BytesIO()
        # Without the library's version in it.
        figure.savefig(sink, format="png", dpi=_DPI, metadata={"Software": None})
    return sink.getvalue()


def _groups(played: _Played) -> list[_Played]:
    """The contenders that differ in numbers alone, together."""
    groups: dict[tuple[Any, ...], list[tuple[Contender, Curve]]] = {}
    for contender, curve in played:
        words = (f"{name}={value}" for name, value in contender.constants.items() if not _is_number(value))
        groups.setdefault((contender.method, *words), []).append((contender, curve))
    return list(groups.values())


def _draw_group(axes: "Axes", group: _Played, colour: _Colour) -> None:
    label = _label([contender for contender, _ in group])
    for number, (_, curve) in enumerate(group):
        moved = curve.updates > 0  # a logarithmic axis has no place for the reference
        updates, gaps = curve.updates[moved], np.maximum(curve.gaps[moved], FLOOR)
        alone = len(group) == 1
        width = 2 if alone else 1.2
        axes.plot(updates, np.median(gaps, axis=-1), label="" if number else label, color=colour, linewidth=width)
        if alone:
            axes.plot(updates, gaps.max(axis=-1), color=colour, linewidth=0.8)
            axes.fill_between(updates, gaps.min(axis=-1), gaps.max(axis=-1), color=colour, alpha=0.08, linewidth=0)


def _label(group: Sequence[Contender]) -> str:
    """The method with its constants; of several numbers the first and the last."""
    first, last = group[0], group[-1]
    constants = (
        f"{name}={value}" if value == last.constants[name] else f"{name}={value} … {last.constants[name]}"
        for name, value in first.constants.items()
    )
    return " ".join([first.method, *constants])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
