import io
import struct
from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from nashflow.components.benchmarks.intervals import mean_interval
from nashflow.components.reports.figure import draw

BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
"""The colours of the first and of the second run."""
FALLING, RISING = (0.11, 0.08, 0.06), (0.11, 0.2, 0.4)


def summary(
    gaps: Sequence[float | None] = (None, None, None),
    exact: Sequence[float | None] = (None, None, None),
    rates: Sequence[float | None] = (0.5, 0.54, 0.56),
    **said: Any,
) -> dict[str, Any]:
    rows = [
        {
            "iteration": iteration,
            "duality_gap": gap,
            "duality_gap_exact": best,
            "win_rate": rate,
            "win_rate_low": rate and rate - 0.03,
            "win_rate_high": rate and rate + 0.03,
            "kl": 0.1 * iteration,
        }
        for iteration, (gap, best, rate) in enumerate(zip(gaps, exact, rates, strict=True))
    ]
    return {"run": "quickstart", "seed": 0, "iterations": rows, **said}


def pixels(png: bytes) -> Any:
    """The picture, (height, width, 3), of integers up to 255."""
    return np.rint(255 * matplotlib.image.imread(io.BytesIO(png))[:, :, :3]).astype(int)


def of_colour(picture: Any, colour: tuple[int, int, int]) -> Any:
    """(rows, columns) of the pixels of a colour."""
    return np.nonzero((picture == np.array(colour)).all(axis=2))


def chunks(png: bytes) -> list[bytes]:
    """The types of a PNG file's chunks."""
    kinds, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    return kinds


def climbs(picture: Any, colour: tuple[int, int, int]) -> bool:
    """Whether the line of a colour is higher at its right end than at its left end."""
    picture = picture[: int(0.8 * len(picture))]  # without the legend
    rows, columns = of_colour(picture, colour)
    tenth = (columns.max() - columns.min()) / 10
    left, right = rows[columns < columns.min() + tenth], rows[columns > columns.max() - tenth]
    return bool(right.mean() < left.mean())


def test_the_left_panel_shows_which_way_the_gap_goes() -> None:
    for gaps, up in ((FALLING, False), (RISING, True)):
        picture = pixels(draw([summary(gaps)]))
        assert climbs(picture[:, : picture.shape[1] // 2], BLUE) is up


def test_the_right_panel_shows_which_way_the_win_rate_goes() -> None:
    for rates, up in (((0.5, 0.54, 0.58), True), ((0.5, 0.46, 0.42), False)):
        picture = pixels(draw([summary(FALLING, rates=rates)]))
        assert climbs(picture[:, picture.shape[1] // 2 :], BLUE) is up


def test_several_runs_have_each_their_colour() -> None:
    one, two = summary(FALLING), summary(RISING, run="other")
    both = pixels(draw([one, two]))
    left = both[:, : both.shape[1] // 2]
    assert not climbs(left, BLUE)
    assert climbs(left, VERMILION)
    assert len(of_colour(pixels(draw([one])), VERMILION)[0]) == 0


def test_the_exact_iterates_are_drawn_in_the_colour_of_their_run() -> None:
    without, with_exact = (pixels(draw([summary(FALLING, exact)])) for exact in ((None,) * 3, (0.11, 0.07, 0.03)))
    half = without.shape[1] // 2
    assert len(of_colour(with_exact[:, :half], BLUE)[0]) > 1.1 * len(of_colour(without[:, :half], BLUE)[0])


def test_without_a_gap_the_win_rate_stands_alone() -> None:
    alone, beside = (pixels(draw([made])) for made in (summary(), summary(FALLING)))
    assert 2 * alone.shape[1] == beside.shape[1]
    assert climbs(alone, BLUE)


def test_without_gap_and_win_rate_the_kl_is_shown() -> None:
    nothing = summary(rates=(None, None, None))
    assert climbs(pixels(draw([nothing])), BLUE)
    assert draw([nothing]) != draw([summary()])


def test_a_run_without_a_gap_joins_one_that_has_it() -> None:
    picture = pixels(draw([summary(FALLING), summary(run="text")]))
    half = picture.shape[1] // 2
    panels = picture[: int(0.8 * len(picture))]
    assert len(of_colour(panels[:, :half], VERMILION)[0]) == 0
    assert len(of_colour(panels[:, half:], VERMILION)[0]) > 0


def test_a_run_of_which_only_the_reference_is_there_has_its_points() -> None:
    start = {**summary(FALLING), "iterations": summary(FALLING)["iterations"][:1]}
    picture = pixels(draw([start]))
    half = picture.shape[1] // 2
    panels = picture[: int(0.8 * len(picture))]
    assert all(len(of_colour(side, BLUE)[0]) > 20 for side in (panels[:, :half], panels[:, half:]))


def test_gaps_of_several_magnitudes_are_on_a_logarithmic_scale() -> None:
    """On a linear one, halving a gap of 0.02 beside one of 0.96 would hardly move the line."""
    small, large = summary((0.11, 0.04, 0.01)), summary((0.11, 0.5, 0.96), run="other")
    picture = pixels(draw([small, large]))
    left = picture[: int(0.8 * len(picture)), : picture.shape[1] // 2]
    blue, vermilion = (of_colour(left, colour)[0] for colour in (BLUE, VERMILION))
    assert 0.8 < np.ptp(blue) / np.ptp(vermilion) < 1.2 * np.log(11) / np.log(0.96 / 0.11)


def test_the_interval_is_drawn() -> None:
    narrow, wide = summary(), summary()
    for row in wide["iterations"]:
        row["win_rate_low"] -= 0.1
    assert draw([narrow]) != draw([wide])


@pytest.mark.parametrize("count", [1, 7, 10, 1024])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_win_rate_at_the_end_of_its_range_can_be_drawn(rate: float, count: int) -> None:
    low, high = map(float, mean_interval([rate] * count))
    rows = [{**row, "win_rate": rate, "win_rate_low": low, "win_rate_high": high} for row in summary()["iterations"]]
    assert len(of_colour(pixels(draw([{**summary(), "iterations": rows}])), BLUE)[0]) > 20


def test_a_warning_stands_above_the_panels_and_takes_nothing_from_them() -> None:
    plain, warned = (pixels(draw([summary(FALLING)], said)) for said in ("", "not measured alike: " + "why " * 100))
    assert plain.shape[1] == warned.shape[1]
    rows = of_colour(plain, BLUE)[0], of_colour(warned, BLUE)[0]
    assert rows[1].min() > rows[0].min() + 50
    assert np.ptp(rows[1]) > 0.9 * np.ptp(rows[0])


def test_equal_data_give_equal_bytes_and_other_data_others() -> None:
    assert draw([summary(FALLING)]) == draw([summary(FALLING)])
    assert len({draw([made]) for made in (summary(FALLING), summary(RISING), summary(FALLING, run="other"))}) == 3


def test_runs_of_one_name_are_told_apart_by_their_seeds() -> None:
    one = summary(FALLING)
    assert draw([one, summary(RISING, seed=1)]) != draw([one, summary(RISING, seed=2)])
    assert draw([summary(FALLING, seed=1)]) == draw([summary(FALLING, seed=2)])


MANY = [f"run-{number:02d}" for number in range(12)]
"""More runs than there are colours that everybody tells apart."""


def many(count: int, exact: bool = False) -> list[dict[str, Any]]:
    """Runs whose gaps fall at different rates, and their exact ones below them."""
    made = []
    for number, name in enumerate(MANY[:count]):
        gaps = (0.11, 0.11 * 0.98 ** (5 * number + 5), 0.11 * 0.96 ** (8 * number + 5))
        rates = (0.5, 0.5 + 0.01 * number, 0.5 + 0.015 * number)
        made.append(summary(gaps, [gap / 2 for gap in gaps] if exact else (None,) * 3, rates, run=name))
    return made


def strips(picture: Any) -> tuple[Any, Any, Any]:
    """Left panel, right panel and legend of the figure of many runs with names as short as these."""
    width = picture.shape[1]
    return picture[:, : int(0.45 * width)], picture[:, int(0.5 * width) : int(0.9 * width)], picture[:, -width // 10 :]


def hues(strip: Any) -> set[tuple[int, ...]]:
    """The colours, none of them grey, that a line of some length leaves in a strip."""
    colours, counts = np.unique(strip.reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(colour) for colour in colours[(counts > 150) & (np.ptp(colours, axis=1) > 60)].tolist()}


def test_runs_have_each_their_colour_in_both_panels_and_in_the_legend() -> None:
    """Of twelve, one is black and one is grey, as text is."""
    for count, seen in ((4, 4), (12, 10)):
        left, right, legend = (hues(strip) for strip in strips(pixels(draw(many(count)))))
        assert left == right == legend
        assert len(legend) == seen


def test_runs_of_one_colour_differ_by_their_markers() -> None:
    """The fourteenth has the first one's colour: it is seen when the two exchange their lines, which touch no other."""
    levels = [0.1 + 0.05 * number for number in range(14)]
    pictures = [
        pixels(draw([summary((level,) * 3, run=f"run-{number:02d}") for number, level in enumerate(order)]))
        for order in (levels, [levels[13], *levels[1:13], levels[0]])
    ]
    lines = [of_colour(picture[:, :600], BLUE) for picture in pictures]
    assert np.ptp(lines[0][0]) > 0.6 * len(pictures[0])
    assert 0 < (pictures[0] != pictures[1]).any(axis=2).sum() < 2000


def test_the_legend_of_many_takes_nothing_from_the_panels() -> None:
    """A line has as much room among twelve as alone."""
    widths = []
    for count in (1, 12):
        columns = of_colour(pixels(draw(many(count)))[:, :600], BLUE)[1]
        widths.append(np.ptp(columns))
    assert widths[1] > 0.9 * widths[0]


def test_the_exact_iterates_of_many_are_thin() -> None:
    ink = []
    for count in (3, 4):
        for exact in (False, True):
            picture = pixels(draw(many(count, exact)))
            left = picture[: int(0.8 * len(picture)), :600]
            ink.append(int((np.ptp(left, axis=2) > 60).sum()))
    few, few_with_exact, more, more_with_exact = ink
    assert 0 < (more_with_exact - more) / more < 0.7 * (few_with_exact - few) / few


def test_up_to_three_runs_have_their_intervals_drawn_and_more_have_the_widest_said() -> None:
    for count, pixels_of_bars in ((3, True), (4, False)):
        narrow, wide = many(count), many(count)
        for made, reach in ((narrow, 0.03), (wide, 0.05)):
            for row in made[0]["iterations"]:
                row["win_rate_low"], row["win_rate_high"] = row["win_rate"] - reach, row["win_rate"] + reach
        pictures = [pixels(draw(made)) for made in (narrow, wide)]
        assert (pictures[0] != pictures[1]).any()
        blue = [len(of_colour(picture[:, : picture.shape[1] * 2 // 3], BLUE)[0]) for picture in pictures]
        assert (abs(blue[0] - blue[1]) > 0) is pixels_of_bars


def test_of_many_runs_some_may_have_no_win_rate() -> None:
    runs = [*many(4), summary(FALLING, rates=(None, None, None), run="untried")]
    left, right, legend = (hues(strip) for strip in strips(pixels(draw(runs))))
    assert len(left) == len(legend) == 5
    assert len(legend - right) == 1


def test_the_file_says_nothing_but_the_picture() -> None:
    """No date and no version in it, which would make each file another one."""
    kinds = set(chunks(draw([summary(FALLING)])))
    assert {b"IHDR", b"IDAT", b"IEND"} <= kinds
    assert kinds & {b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf"} == set()


def test_the_users_matplotlib_settings_change_nothing_and_stay() -> None:
    plain = draw([summary(FALLING)])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        assert draw([summary(FALLING)]) == plain
        assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.facecolor"]) == (30, "black")
