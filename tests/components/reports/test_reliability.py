"""The figure of reliability curves."""

from nashflow.components.quality.calibration import Bin
from nashflow.components.reports.reliability import draw_reliability

CURVE = [Bin(0.5, 0.55, 4, 0.52, 0.5), Bin(0.55, 0.6, 0, None, None), Bin(0.95, 1.0, 8, 1.0, 0.75)]


def test_equal_curves_give_equal_bytes_whatever_the_judges_are_called() -> None:
    curves = {"_judge": CURVE, r"$\frac$": CURVE[:2], "says nothing": CURVE[1:2]}
    assert draw_reliability(curves) == draw_reliability(curves) != draw_reliability({"_judge": CURVE})
