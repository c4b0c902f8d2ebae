"""The figure of judges: how often they are right by how sure they are."""

import io
from collections.abc import Mapping, Sequence

from ..quality.calibration import Bin
from .figure import COLOURS, MARKERS, STYLE

_INCHES, _DPI = (5.6, 4.4), 144


def draw_reliability(curves: Mapping[str, Sequence[Bin]]) -> bytes:
    """A PNG with the reliability curve of each judge, by its name; the area of a marker grows with the bin's pairs."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.add_subplot()
        handles = axes.plot([0.5, 1], [0.5, 1], ":", color="0.4", linewidth=1.5)
        for place, curve in enumerate(curves.values()):
            filled = [each for each in curve if each.pairs]
            most = max((each.pairs for each in filled), default=1)
            sure = [each.confidence or 0.0 for each in filled]
            right = [each.accuracy or 0.0 for each in filled]
            colour = COLOURS[place % len(COLOURS)]
            axes.plot(sure, right, color=colour, linewidth=1.2)
            areas = [20 + 130 * each.pairs / most for each in filled]
            axes.scatter(sure, right, areas, color=colour, marker=MARKERS[place % len(MARKERS)])
            handles += axes.plot([], [], color=colour, linewidth=1.2, marker=MARKERS[place % len(MARKERS)])
        axes.set_title("Is it as often right as it is sure?")
        axes.set_xlabel("confidence: probability of the preferred answer")
        axes.set_ylabel("accuracy")
        axes.set_xlim(0.48, 1.02)
        legend = figure.legend(handles, ["calibrated", *curves], loc="outside lower center", ncols=2)
        for text in legend.get_texts():
            text.set_parse_math(False)  # names of files are no formulas
        sink = io.BytesIO()
        # Without the library's version in it.
        figure.savefig(sink, format="png", dpi=_DPI, metadata={"Software": None})
    return sink.getvalue()
