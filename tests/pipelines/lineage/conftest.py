"""A finished run, one that starts from its last policy, and MLflow's registry; no MLflow but a test's own."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.components.registry.champions import Registry
from nashflow.components.registry.version import Version
from nashflow.pipelines.lineage.trace import Tracer
from nashflow.pipelines.lineage.traced import Trace
from tests.components.registry.conftest import crowned
from tests.fixtures.runs import SandboxRun, recipe


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def made(finished_root: SandboxRun, tmp_path: Path) -> SandboxRun:
    """A finished run of two iterations, `runs/made`."""
    return finished_root.copied(str(tmp_path / "runs" / "made"))


def starting_from(run: SandboxRun, root: str, **changes: object) -> SandboxRun:
    """A run whose reference is the last policy of another, prepared."""
    policy = {"kind": "folder", "model": f"run:{run.root}@2", **changes}
    onwards = SandboxRun(root, recipe({"policy": policy, "run.name": "onwards"}))
    onwards.step("preparation")
    return onwards


@pytest.fixture
def onwards(made: SandboxRun) -> SandboxRun:
    """A run from the last policy of `made`, beside it, prepared and no more."""
    return starting_from(made, f"{Path(made.root).parent}/onwards")


@pytest.fixture
def traced(tmp_path: Path) -> Callable[..., Trace]:
    """Trace something, with the runs in `runs`."""
    return lambda named, verify=True, prefix="": Tracer(prefix or str(tmp_path / "runs"), verify).trace(str(named))


@pytest.fixture
def mlflow(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store of MLflow's, which the environment names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}")


@pytest.fixture
def champion(mlflow: None, made: SandboxRun) -> Version:
    """The last policy of `made`, champion of the registered model `m`."""
    registry = Registry.open("m")
    crowned(registry, made.store, "002/main")
    found = registry.champion()
    assert found
    return found
