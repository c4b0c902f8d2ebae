"""One iteration of the quickstart on a Kubeflow, through the commands that a user has."""

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


def test_a_run_succeeds_and_says_so_everywhere(place: Site) -> None:
    submitted = place.nashflow("submit", place.recipe("short"), "--wait", sets=ONE)
    run = place.run(submitted.stdout)
    assert run.state == "SUCCEEDED"
    assert place.read(run, "report/outcome.json")["outcome"] == "succeeded"
    assert run.display_name in place.nashflow("runs").stdout
    logs = place.nashflow("logs", run.run_id, "--step", "training", "--kube-context", "here").stdout
    assert '"step": "training"' in logs
