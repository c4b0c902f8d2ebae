import itertools
import math
import re

from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.reports.comparison.chart import CHARTS, Chart, Line, Point
from nashflow.components.reports.template import rendered

NUMBERS = st.floats(-1e9, 1e9).filter(lambda number: number == 0 or abs(number) > 1e-9)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12), st.booleans())
def test_every_point_lies_within_the_axes(points: list[tuple[float, float]], whole: bool) -> None:
    chart = Chart("gap", "iteration", "nats", [Line("a", 0, [Point(*point) for point in points])], whole=whole)
    (line,) = chart.lines
    for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", line.path):
        assert chart.left - 0.1 <= float(x) <= chart.right + 0.1
        assert chart.top - 0.1 <= float(y) <= chart.bottom + 0.1
    assert len(line.markers) == len(points)


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e6))
def test_ticks_are_round_ascending_and_where_they_say(start: float, width: float) -> None:
    ends = [Point(0, start), Point(1, start + width)]
    chart = Chart("", "", "", [Line("a", 0, ends)])
    numbers = [float(mark.text.replace(",", "")) for mark in chart.y_marks]
    assert len(numbers) <= 7
    assert numbers == sorted(numbers)
    heights = [mark.at for mark in chart.y_marks]
    assert all(math.isclose(a - b, heights[0] - heights[1], rel_tol=1e-4) for a, b in itertools.pairwise(heights))


def test_whole_numbers_have_no_ticks_between_them() -> None:
    chart = Chart("", "iteration", "", [Line("a", 0, [Point(0, 1.0), Point(1, 2.0)])], whole=True)
    assert [mark.text for mark in chart.x_marks] == ["0", "1"]


def test_a_chart_says_its_values_and_escapes_its_labels() -> None:
    lines = [Line("<b>", 0, [Point(0, 0.5, 0.4, 0.6, ringed=True)]), Line("none", 1, [])]
    drawn = rendered(CHARTS + "{{ chart(drawn) }}", drawn=Chart("win rate", "iteration", "", lines))
    assert "<b>" not in drawn
    assert "<title>&lt;b&gt;: iteration 0, win rate 0.5</title>" in drawn
    assert drawn.count("<circle") == 1
    assert drawn.count('opacity="0.12"') == 1
