"""The estimate of a workflow's size: what it counts, and what fits. tests/kubeflow holds it against the workflow."""

from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines.compiled import Graph, read_graph
from nashflow.pipelines.graph import compile_graph, write_graph
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.size import BUDGET, Size, estimate


def graph(folder: Path, name: str, *settings: str) -> Graph:
    package = folder / "p.yaml"
    write_graph(load_recipe(name, settings), package, 1)
    return read_graph(package)


def size(folder: Path, name: str, iterations: int, shards: int) -> Size:
    return estimate(graph(folder, name, f"run.iterations={iterations}", f"prompts.shards={shards}"))


@pytest.mark.parametrize(("iterations", "shards"), [(1, 1), (3, 1), (2, 5), (3, 16)])
def test_every_shard_counts_in_the_status_and_a_loop_once_in_the_specification(
    iterations: int, shards: int, tmp_path: Path
) -> None:
    """A run has its preparation, the reference's evaluation, the report and the closing, besides five steps a time."""
    found = size(tmp_path, "quickstart", iterations, shards)
    assert found.tasks == 4 + iterations * (3 * shards + 2)
    doubled = size(tmp_path, "quickstart", iterations, 2 * shards)
    assert doubled.tasks - found.tasks == iterations * 3 * shards
    assert doubled.status > found.status
    if shards > 1:
        assert doubled.specification == pytest.approx(found.specification, rel=0.01)


def test_ten_iterations_in_eight_shards_fit(tmp_path: Path) -> None:
    assert size(tmp_path, "dno-llama3-8b", 10, 8).total <= BUDGET
    assert size(tmp_path, "quickstart", 10, 8).total <= BUDGET


def test_what_does_not_fit_is_refused_with_what_to_change_and_the_change_helps(tmp_path: Path) -> None:
    package = tmp_path / "p.yaml"
    with pytest.raises(UserError, match=r"lower prompts.shards.*lower run.iterations, and .*--first-iteration"):
        compile_graph(load_recipe("dno-llama3-8b", ["run.iterations=20"]), package)
    assert not package.exists()
    for change, first in (("prompts.shards=2", 1), ("run.iterations=10", 1), ("run.iterations=20", 11)):
        compile_graph(load_recipe("dno-llama3-8b", ["run.iterations=20", change]), package, first)


def test_a_graph_that_contains_itself_has_a_size_too(tmp_path: Path) -> None:
    made = graph(tmp_path, "quickstart", "run.iterations=1")
    run = made.ir["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    run["again"] = {"componentRef": {"name": "comp-exit-handler-1"}, "taskInfo": {"name": "again"}}
    assert estimate(made).total > 0
