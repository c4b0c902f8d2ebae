"""One iteration of the quickstart on a Kubeflow, through the commands that a user has."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fixtures.cli import SMALL
from ..fixtures.seaweedfs import SeaweedFS
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
    recipe = place.recipe("short", prompts={"field": TEXT})
    submitted = place.nashflow("submit", recipe, "--wait", sets=ONE)
    run = place.run(submitted.stdout)
    assert run.state == "SUCCEEDED"
    assert place.read(run, "report/outcome.json")["outcome"] == "succeeded"
    assert place.read(run, "report/summary.json")
    logs = place.nashflow("logs", run.run_id, "--step", "training", "--kube-context", "here").stdout
    assert '"step": "training"' in logs
    (resolved,) = (json.loads(content) for name, content in place.files(run) if name.startswith("recipes/"))
    assert resolved["prompts"]["field"] == TEXT
