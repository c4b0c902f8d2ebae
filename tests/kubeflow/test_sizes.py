"""The compiler, the drivers and the controller, held against workflows that real ones made."""

import copy
from pathlib import Path
from typing import Any

import pytest

from nashflow.pipelines.compiled import read_graph
from nashflow.pipelines.graph import write_graph
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.size import estimate

from ..fixtures.recordings import needs_recordings
from .argo.packing import pack
from .argo.progress import add_up
from .compiler.workflow import Job, compiled
from .measure import measure, succeed
from .recorded import pipeline, read

pytestmark = needs_recordings


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    """Of three iterations; its nodes were compressed."""
    return read("workflow-compressed.json.gz")  # type: ignore[no-any-return]


def test_a_pipeline_compiles_to_the_same_specification(workflow: dict[str, Any]) -> None:
    spec, platform, parameters = pipeline(workflow)
    metadata = workflow["metadata"]
    run_id, name = metadata["labels"]["pipeline/runid"], metadata["annotations"]["pipelines.kubeflow.org/run_name"]
    job = Job(run_id, name, parameters, workflow["spec"]["serviceAccountName"])
    made = compiled(spec, platform, job)["spec"]
    theirs = copy.deepcopy(workflow["spec"])
    for specification in (made, theirs):
        specification["templates"].sort(key=lambda template: template["name"])
        # Arguments are named by hashes of how Go prints a container.
        specification["arguments"] = sorted(item["value"] for item in specification["arguments"]["parameters"])
    assert made["arguments"] == theirs["arguments"]
    assert [_without_hashes(template) for template in made.pop("templates")] == [
        _without_hashes(template) for template in theirs.pop("templates")
    ]
    assert made == theirs


def test_a_success_has_the_same_nodes(workflow: dict[str, Any]) -> None:
    nodes = _succeeded(workflow)["status"]["nodes"]
    theirs = workflow["status"]["nodes"]
    assert {key: _shape(node) for key, node in nodes.items()} == {key: _shape(node) for key, node in theirs.items()}


def test_nodes_are_written_in_the_same_bytes(workflow: dict[str, Any]) -> None:
    whole = copy.deepcopy(workflow)
    packed = pack(whole)
    assert packed.nodes == 1_291_028
    assert packed.compressed == pytest.approx(len(workflow["status"]["compressedNodes"]), rel=0.01)


def test_a_success_takes_the_same_bytes(workflow: dict[str, Any]) -> None:
    ours, theirs = pack(_succeeded(workflow)), pack(workflow)
    assert ours.specification == theirs.specification
    assert ours.nodes == pytest.approx(theirs.nodes, rel=0.01)
    assert ours.compressed == pytest.approx(len(workflow["status"]["compressedNodes"]), rel=0.03)


def test_progress_counts_the_same_pods(workflow: dict[str, Any]) -> None:
    nodes = copy.deepcopy(workflow["status"]["nodes"])
    add_up(nodes)
    for key, node in workflow["status"]["nodes"].items():
        assert nodes[key].get("progress") == node.get("progress"), node["name"]


def _succeeded(workflow: dict[str, Any]) -> dict[str, Any]:
    ours = copy.deepcopy({key: value for key, value in workflow.items() if key != "status"})
    assert succeed(ours) == 19
    return ours


def _shape(node: dict[str, Any]) -> Any:
    """What of a node does not depend on when and with what it ran."""
    fixed = (
        "name",
        "displayName",
        "type",
        "templateName",
        "templateScope",
        "phase",
        "boundaryID",
        "nodeFlag",
        "progress",
    )
    parameters = node.get("inputs", {}).get("parameters", ())
    outputs = node.get("outputs", {})
    return (
        {key: node.get(key) for key in fixed},
        [parameter["name"] for parameter in parameters],
        [parameter["name"] for parameter in outputs.get("parameters", ())],
        sorted(outputs),
        set(node.get("children", ())),
        set(node.get("outboundNodes", ())),
    )


def _without_hashes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_hashes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_hashes(item) for item in value]
    if isinstance(value, str) and value.startswith("{{workflow.parameters."):
        return value.split("-")[0]
    return value


@pytest.mark.parametrize(
    ("recipe", "iterations", "shards"),
    [("quickstart", 3, 1), ("quickstart", 1, 8), ("sandbox-egpo", 2, 1), ("inpo-llama3-8b", 3, 8)],
)
def test_the_estimate_of_a_graph_is_the_size_of_its_workflow(
    recipe: str, iterations: int, shards: int, tmp_path: Path
) -> None:
    """A tenth on either side: compressors differ, and so do the names and digests of two runs."""
    package = tmp_path / "p.yaml"
    settings = [f"run.iterations={iterations}", f"prompts.shards={shards}", "cluster.run_root=s3://bucket/runs/{job}"]
    write_graph(load_recipe(recipe, settings), package, 1)
    measured, estimated = measure(package), estimate(read_graph(package))
    assert estimated.tasks == measured.tasks
    assert estimated.total == pytest.approx(measured.packed.least, rel=0.1)
