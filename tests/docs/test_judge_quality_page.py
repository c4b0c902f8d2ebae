"""docs/judge-quality.md defines every figure, and names the layouts that are read."""

import re
from pathlib import Path

from nashflow.components.prompts.layouts import LAYOUTS
from nashflow.components.quality.measure import FIGURES

PAGE = (Path(__file__).parents[2] / "docs/judge-quality.md").read_text()


def test_every_figure_is_defined() -> None:
    defined = {name for row in re.findall(r"^\| (`[^|]+) \|", PAGE, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert defined == {figure.name for figure in FIGURES}


def test_every_layout_with_labels_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {layout.name for layout in LAYOUTS if layout.gives in ("pairs", "rated")} <= named
    assert "fields" in named
