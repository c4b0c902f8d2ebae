"""A whole run by kfp's own DockerRunner in the built image of the steps: the same weights as on this machine."""

import functools
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.local import kfp_adapter
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures import cli

pytestmark = [pytest.mark.images, pytest.mark.timeout(900)]

SETS = (*cli.SMALL, "run.iterations=1")
CONTAINER = {
    "user": "12345:54321",
    "read_only": True,
    "tmpfs": {"/tmp": "mode=1777"},
    "network_mode": "none",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    # kfp.local asks for the logs of a container that may have ended and been removed: then podman says 500, not 404.
    "entrypoint": ["sh", "-c", '"$@"; code=$?; sleep 1; exit $code', "sh"],
}


def run_in_containers(package: Path, image: str, folder: Path, **arguments: str) -> None:
    """Run a compiled pipeline by kfp.local.DockerRunner, which mounts `folder` and nothing else.

    kfp.local passes an image that is a parameter of the pipeline on unresolved, and takes every condition on a named
    output for false: the one is written into the pipeline, the other repaired as `nashflow run` does it. And a
    test does not wait a minute before a retry.
    """
    from kfp import components, local
    from kfp.local import config
    from kfp.local.orchestrator import task_executor
    from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

    parameter = r"\{\{\$\.inputs\.parameters\[''pipelinechannel--image''\]\}\}"
    text, found = re.subn(parameter, image, package.read_text())
    assert found
    package.write_text(text)
    folder.mkdir()
    folder.chmod(0o777)  # for the containers' user
    resolve = functools.partial(kfp_adapter._channel_value, ConditionEvaluator._resolve_pipeline_channel)
    with (
        mock.patch.object(config.LocalExecutionConfig, "instance", None),
        mock.patch.object(task_executor, "time", SimpleNamespace(sleep=lambda seconds: None)),
        mock.patch.object(ConditionEvaluator, "_resolve_pipeline_channel", staticmethod(resolve)),
    ):
        local.init(local.DockerRunner(**CONTAINER), pipeline_root=str(folder))
        components.load_component_from_file(str(package))(**arguments)


def test_the_same_weights_as_on_this_machine(image: Callable[[str], Any], tmp_path: Path) -> None:
    (tag,) = [tag for tag in image("steps").tags if "nashflow-steps" in tag]
    here, folder = tmp_path / "here" / "run", tmp_path / "containers"
    there = folder / "runs" / "run"
    compile_graph(load_recipe("quickstart", SETS), tmp_path / "pipeline.yaml")
    run_in_containers(tmp_path / "pipeline.yaml", tag, folder, run_root=str(there))
    cli.call("run", "quickstart", "--run-root", str(here), sets=SETS)
    assert len(set(cli.weights(there))) == 2
    assert cli.weights(there) == cli.weights(here)
    assert cli.records(there) == cli.records(here)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in files} == {12345}
    unreadable = [path for path in folder.rglob("*") if not readable_by_all(path)]
    assert unreadable == []


def readable_by_all(path: Path) -> bool:
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path.stat().st_mode & needed == needed
