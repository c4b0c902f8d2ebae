"""A slimmed graph does what KFP's compiler has written: every run of a step, unrolled, is the same."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components

from nashflow.pipelines import graph
from nashflow.pipelines.compiled import read_graph
from nashflow.pipelines.graph import write_graph
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures.graphs import unrolled

CLUSTER = (
    "cluster.profile=one-node",
    "cluster.secrets=[{name: s3, keys: {key: AWS_ACCESS_KEY_ID}}]",
    "cluster.config_maps=[{name: env, keys: {tracking: MLFLOW_TRACKING_URI}}]",
    "cluster.image_pull_secrets=[registry]",
    "cluster.models={claim: models}",
    "cluster.steps={training: {node_selector: {pool: a}, tolerations: [{key: gpu}], cpu: 3}}",
)
RECIPES = {
    "one shard": ("quickstart", ("run.iterations=2",)),
    "one iteration": ("quickstart", ("run.iterations=1",)),
    "shards": ("quickstart", ("run.iterations=2", "prompts.shards=3")),
    "shards of one iteration": ("quickstart", ("run.iterations=1", "prompts.shards=2")),
    "phases": ("sandbox-egpo", ("run.iterations=2",)),
    "phases and shards": ("sandbox-egpo", ("run.iterations=2", "prompts.shards=2")),
    "data of another phase": ("sandbox-onpo", ("run.iterations=2", "prompts.shards=2")),
    "borrowed cores": ("quickstart", ("cluster.profile=laptop",)),
    "all of a cluster": ("sandbox-egpo", ("run.iterations=2", "prompts.shards=2", *CLUSTER)),
    "the paper's": ("inpo-llama3-8b", ()),
}


@pytest.fixture(scope="module", params=RECIPES)
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A graph as KFP's compiler writes it, and slimmed."""
    recipe = load_recipe(*RECIPES[request.param])
    folder = tmp_path_factory.mktemp("slimming")
    slim, whole = folder / "slim.yaml", folder / "whole.yaml"
    write_graph(recipe, slim, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "slim", lambda *documents: documents)
        write_graph(recipe, whole, 1)
    return whole, slim


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def test_every_run_of_a_step_is_the_same(packages: tuple[Path, Path]) -> None:
    """But for the names of tasks in loops, which stand for every iteration."""
    whole, slim = (
        {place: dataclasses.replace(task, around=task.around[:-1]) for place, task in unrolled(package).items()}
        for package in packages
    )
    assert slim == whole


def test_nothing_is_said_twice(packages: tuple[Path, Path]) -> None:
    ir, platform = list(yaml.safe_load_all(packages[1].read_text()))
    keys = {key for value in objects([ir["components"], ir["deploymentSpec"], ir["root"], platform]) for key in value}
    assert not keys & {"base_image", "cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest", "schemaVersion"}
    assert not keys & {"configMapNameParameter", "secretNameParameter", "pvcNameParameter"}
    assert not any(key.startswith("pipelinechannel--") for key in keys)
    contents = [
        json.dumps([part, ir["deploymentSpec"]["executors"].get(part.pop("executorLabel", ""))], sort_keys=True)
        for part in ir["components"].values()
    ]
    assert len(set(contents)) == len(contents), "no component twice"


def test_every_parameter_is_read(packages: tuple[Path, Path]) -> None:
    """By a task of the graph that declares it, or by the condition on which the graph is run."""
    ir = next(yaml.safe_load_all(packages[1].read_text()))
    graphs = [part for part in (ir["root"], *ir["components"].values()) if "dag" in part]
    conditions = json.dumps([task.get("triggerPolicy") for part in graphs for task in part["dag"]["tasks"].values()])
    for part in graphs:
        declared = set(part.get("inputDefinitions", {}).get("parameters", {}))
        given = [task.get("inputs", {}).get("parameters", {}) for task in part["dag"]["tasks"].values()]
        read = {source.get("componentInputParameter") for sources in given for source in sources.values()}
        assert {name for name in declared - read if f"['{name}']" not in conditions} == set()


def test_kfp_reads_it(packages: tuple[Path, Path]) -> None:
    """Its loader, which checks types and references, and its schema, which refuses unknown names."""
    assert components.load_component_from_file(str(packages[1])).pipeline_spec.root.dag.tasks
    assert (
        read_graph(packages[1]).executors.keys()
        == read_graph(packages[1]).platform["deploymentSpec"]["executors"].keys()
    )


def test_what_a_person_has_written_is_left_alone(tmp_path: Path) -> None:
    text = "/data/pipelinechannel--image/{{$.inputs.parameters['pipelinechannel--image']}}"
    recipe = load_recipe("quickstart", [f"prompts.field={json.dumps(text)}"])
    write_graph(recipe, tmp_path / "p.yaml", 1)
    ir = next(yaml.safe_load_all((tmp_path / "p.yaml").read_text()))
    given = ir["components"]["comp-exit-handler-1"]["dag"]["tasks"]["preparation"]["inputs"]["parameters"]["recipe"]
    assert json.loads(given["runtimeValue"]["constant"])["prompts"]["field"] == text
