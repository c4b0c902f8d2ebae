"""The page of a comparison in a real browser: quiet, by itself, readable on small screens, by day and by night."""

from pathlib import Path

import pytest

from nashflow.pipelines.compare.compare import compare_runs
from nashflow.pipelines.compare.finding import Wanted
from tests.components.reports.toy_runs import GAME, WON, evaluations, toy_run
from tests.fixtures import cli
from tests.fixtures.chromium import chromium
from tests.pipelines.compare.test_compare import MET

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script><img src=http://127.0.0.1:9/x>" + "long" * 200
COLOURS = "(e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.fill] })"


def test_the_page_is_quiet_narrow_and_readable_by_day_and_by_night(tmp_path: Path) -> None:
    roots = [str(tmp_path / name) for name in ("one", "other", "a-run-with-a-long-name")]
    for root in roots:
        rows = evaluations(3, [*WON[:2], MET], GAME)
        toy_run(root, rows, name=Path(root).name, answers={2: HOSTILE}, questions=[HOSTILE, "x", "y", "z"])
        cli.here("report", root)
    page = tmp_path / "compare.html"
    compare_runs(Wanted(roots), [], page)
    with chromium(tmp_path / "profile") as tab:
        tab.open(page)
        for width in (1280, 400):
            tab.wide(width)
            assert tab.value("document.documentElement.scrollWidth") <= width
            tab.screenshot(tmp_path / f"compare-{width}.png")
        assert tab.value("document.querySelectorAll('svg.chart').length") >= 6
        assert tab.value("document.querySelectorAll('svg.chart title').length") >= 3 * 3 * 4
        seen = {}
        for scheme in ("light", "dark"):
            tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            text, back, _ = tab.value(f"{COLOURS}(document.body)")
            _, _, chart = tab.value(f"{COLOURS}(document.querySelector('svg.chart'))")
            seen[scheme] = brightness(text), brightness(back)
            assert chart == text
            tab.screenshot(tmp_path / f"compare-{scheme}.png")
        assert seen["dark"][0] - seen["dark"][1] > 150
        assert seen["light"][0] < 100
        assert (tab.errors, tab.requests) == ([], [])


def brightness(colour: str) -> float:
    """Of `rgb(…)`, from 0 to 255; that of a page without a background of its own is the window's."""
    numbers = [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")]
    return sum(numbers[:3]) / 3
