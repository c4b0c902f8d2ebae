"""The page on drift in a real browser: quiet, by itself, readable on small screens."""

from pathlib import Path

import pytest

from nashflow.pipelines.drift.page import render
from nashflow.pipelines.drift.report import drift
from tests.fixtures.chromium import chromium
from tests.pipelines.drift.test_drift import runs as runs

pytestmark = pytest.mark.slow


def test_the_page_is_quiet_and_narrow(runs: str, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    page.write_text(render(drift("small", runs)))
    with chromium(tmp_path / "profile") as tab:
        tab.open(page)
        for width in (1280, 400):
            tab.wide(width)
            assert tab.value("document.documentElement.scrollWidth") <= width
            tab.screenshot(tmp_path / f"drift-{width}.png")
        assert tab.value("document.querySelector('img').naturalWidth") > 1000
        assert (tab.errors, tab.requests) == ([], [])
