"""The tasks of a run by the graph that the server keeps: how many shards, and whose image."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from nashflow.components.iterations.units import Shape
from nashflow.pipelines.cluster.runs.planned import planned_tasks
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.recipe import load_recipe

from ..conftest import Call
from ..server import KfpServer


def planned_of(call: Call, kfp: KfpServer, *sets: str) -> dict[str, Any]:
    """The planned tasks of a submitted run."""
    options = [part for text in sets for part in ("--set", text)]
    assert call("submit", "quickstart", "--run-root", "s3://bucket/one", "--host", kfp.url, *options).code == 0
    *_, run = kfp.runs.values()
    return planned_tasks(connected(kfp), run)


def connected(kfp: KfpServer) -> Any:
    from nashflow.pipelines.cluster.api.access import Access
    from nashflow.pipelines.cluster.api.connection import connect

    return connect(Access(host=kfp.url))


def test_every_task_of_the_graph_has_its_shards(call: Call, kfp: KfpServer) -> None:
    planned = planned_of(call, kfp, "run.iterations=2", "prompts.shards=3")
    shards = {name: task.shards for name, task in planned.items()}
    sharded = {f"{step}-{t:03d}-main": 3 for t in (1, 2) for step in ("rollout", "judging", "logprobs")}
    single = ("preparation", "evaluation-000", "evaluation-001", "evaluation-002", "reporting", "closing")
    assert shards == sharded | dict.fromkeys(("training-001-main", "training-002-main", *single), 1)


def test_an_image_is_named_as_the_recipe_names_it(call: Call, kfp: KfpServer) -> None:
    on_gpus = "{accelerators: 1, memory: 8Gi, shared_memory: 1Gi}"
    sets = ("run.iterations=1", f"cluster.steps={{judging: {on_gpus}, training: {on_gpus}}}")
    images = {name: task.image for name, task in planned_of(call, kfp, *sets).items()}
    assert images == {
        **dict.fromkeys(("preparation", "evaluation-000", "rollout-001-main", "logprobs-001-main"), "steps"),
        **dict.fromkeys(("evaluation-001", "reporting", "closing"), "steps"),
        "judging-001-main": "vllm",
        "training-001-main": "training",
    }


def test_a_run_whose_version_is_gone_has_none(call: Call, kfp: KfpServer) -> None:
    call("submit", "quickstart", "--run-root", "s3://bucket/one", "--host", kfp.url)
    (run,) = kfp.runs.values()
    kfp.versions.clear()
    assert planned_tasks(connected(kfp), run) == {}
    run.pipeline_version_reference = None
    assert planned_tasks(connected(kfp), run) == {}


@pytest.mark.parametrize("recipe", ["quickstart", "sandbox-egpo", "inpo-llama3-8b"])
def test_the_tasks_are_those_that_the_units_of_work_ask_for(tmp_path: Path, recipe: str) -> None:
    """The second way to the same answer: by the method's phases, and so many of each as there are units."""
    loaded = load_recipe(recipe, ["run.iterations=2"])
    compile_graph(loaded, tmp_path / "p.yaml")
    spec = next(yaml.load_all((tmp_path / "p.yaml").read_text(), yaml.CSafeLoader))
    expected = dict.fromkeys(("preparation", "reporting", "closing"), 1)
    for iteration in range(3):
        shape = Shape(loaded.method, loaded.prompts.shards, loaded.evaluation.benchmarks)
        for unit, keys in shape.units(iteration).items():
            phase, _, step = unit.rpartition("/")
            shards = len({key.rpartition("/")[2] for key in keys})  # an evaluation's units are one task's
            expected["-".join(filter(None, (step, f"{iteration:03d}", phase)))] = shards
    version = SimpleNamespace(pipeline_spec={"pipeline_spec": spec, "platform_spec": {}})
    method = SimpleNamespace(pipeline_service_get_pipeline_version=None)
    connection: Any = SimpleNamespace(call=lambda *_, **__: version, client=SimpleNamespace(pipelines=method))
    reference = SimpleNamespace(pipeline_id="p", pipeline_version_id="v")
    planned = planned_tasks(connection, SimpleNamespace(pipeline_version_reference=reference))
    assert {name: task.shards for name, task in planned.items()} == expected
