"""The page on benchmarks in a real browser: quiet, by itself, readable on small screens, usable without a mouse."""

from pathlib import Path

import pytest

from nashflow.components.benchmarks.shares import Interval
from nashflow.components.reports.benchmarks.page import PolicyReport, render_policy, render_run
from tests.components.reports.benchmarks.toy import HOSTILE, RATE, case, report
from tests.fixtures.chromium import chromium

pytestmark = pytest.mark.slow


def pages() -> dict[str, str]:
    """A policy's and a run's, with long words, hostile texts and many columns."""
    cases = [case(at, value=at / 11, turns=(f"{HOSTILE} {at}",), answers=("long " * 400,)) for at in range(12)]
    shown = report(cases=cases, gains={RATE: Interval(0.03, -0.02, 0.08)})
    policies = [PolicyReport(f"toy run, iteration {at}", "ab" * 32, [shown, report()]) for at in range(3)]
    return {"policy": render_policy(policies[-1]), "run": render_run("toy run", policies)}


@pytest.mark.parametrize("name", ["policy", "run"])
def test_the_page_is_quiet_narrow_and_usable_by_keys(name: str, tmp_path: Path) -> None:
    page = tmp_path / f"{name}.html"
    page.write_text(pages()[name])
    with chromium(tmp_path / "profile") as tab:
        tab.open(page)
        for width in (1280, 400):
            tab.wide(width)
            assert tab.value("document.documentElement.scrollWidth") <= width
            assert tab.value("parseFloat(getComputedStyle(document.body).fontSize)") >= 14
            tab.screenshot(tmp_path / f"{name}-{width}.png")
        assert tab.value("document.querySelectorAll('details[open]').length") == 0
        for _ in range(60):
            tab.press("Tab")
            if tab.value("document.activeElement.tagName") == "SUMMARY":
                break
        assert tab.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
        tab.press("Enter", "\r")
        assert tab.value("document.activeElement.parentElement.open") is True
        assert tab.value("document.documentElement.scrollWidth") <= 400
        assert (tab.errors, tab.requests) == ([], [])
