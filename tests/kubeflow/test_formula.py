"""The formula of a workflow's size, held against workflows that the compiler, the drivers and the controller make."""

from pathlib import Path

import pytest

from nashflow.pipelines.compiled import read_graph
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.size import estimate

from .measure import measure


@pytest.mark.parametrize(
    ("recipe", "iterations", "shards"),
    [
        ("quickstart", 1, 1),
        ("quickstart", 3, 1),
        ("quickstart", 10, 8),
        ("sandbox-nash-md", 3, 2),
        ("sandbox-mnpo", 2, 16),
        ("inpo-llama3-8b", 3, 8),
        ("dno-llama3-8b", 10, 8),
    ],
)
def test_the_formula_agrees_with_the_model(recipe: str, iterations: int, shards: int, tmp_path: Path) -> None:
    package = tmp_path / "pipeline.yaml"
    overrides = (f"run.iterations={iterations}", f"prompts.shards={shards}")
    compile_graph(load_recipe(recipe, overrides), package)
    estimated, measured = estimate(read_graph(package)), measure(package)
    assert estimated.tasks == measured.tasks
    assert estimated.total == pytest.approx(measured.packed.least, rel=0.08)
    assert measured.fits
