"""One iteration of the quickstart on a Kubeflow, through the commands that a user has."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fixtures.cli import SMALL
from ..fixtures.seaweedfs import SeaweedFS
from .pods.cluster import Trouble
from .pods.sandbox import missing
from .site import Site, site

ONE = (*SMALL, "run.iterations=1", "training.epochs=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, seaweedfs_server: SeaweedFS, empty_mlflow: Path) -> Iterator[Site]:
    if why := missing():
        pytest.skip(f"pods need mount namespaces of their own: {why}")
    with site(tmp_path_factory.mktemp("site"), seaweedfs_server, empty_mlflow) as made:
        yield made


TEXT = "{{workflow.name}} {{inputs.parameters.x}} {{$}} $(AWS_SECRET_ACCESS_KEY) $$(HOME) [bold]"
"""What Argo, Kubernetes and others would change on its way."""


def test_a_run_succeeds_and_says_so_everywhere(place: Site) -> None:
    """A step is killed for its memory once, and its pod goes on: Argo would not have made another attempt."""
    place.kubeflow.cluster.troubles.append(Trouble("training-001", "oom", memory="150Mi"))
    recipe = place.recipe("short", prompts={"field": TEXT})
    submitted = place.nashflow("submit", recipe, "--wait", sets=ONE)
    run = place.run(submitted.stdout)
    assert run.state == "SUCCEEDED"
    assert place.read(run, "report/outcome.json")["outcome"] == "succeeded"
    assert place.read(run, "report/summary.json")
    assert run.display_name in place.nashflow("runs").stdout
    logs = place.nashflow("logs", run.run_id, "--step", "training", "--kube-context", "here").stdout
    assert "again in" in logs
    assert logs.count('"step": "training"') == 1
    (resolved,) = (json.loads(content) for name, content in place.files(run) if name.startswith("recipes/"))
    assert resolved["prompts"]["field"] == TEXT
