"""Where things are kept, in both kinds of store, and MLflow's store."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nashflow.components.storage.store import Store, open_store
from tests.fixtures.mlflow_store import Server

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(params=["local", "s3"])
def run_root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URI of a run root that nobody has used."""
    if request.param == "local":
        return str(tmp_path / "run")
    return str(request.getfixturevalue("s3_bucket")) + "/run"


@pytest.fixture
def run_store(run_root: str) -> Store:
    return open_store(run_root)


@pytest.fixture
def local_store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable of MLflow's, and a current folder of the test's own."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return monkeypatch


@pytest.fixture
def client(surroundings: pytest.MonkeyPatch, tmp_path: Path, empty_mlflow: Path) -> "MlflowClient":
    """Tracking without KFP's plugin, in an SQLite store; the client is the test's own look into it."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    surroundings.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@pytest.fixture
def server(surroundings: pytest.MonkeyPatch, mlflow_server: Server) -> Server:
    """Tracking without KFP's plugin, on a server."""
    surroundings.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    return mlflow_server
