"""Runs that hold a registered model stay; without a word of their registry, nothing that is tracked goes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nashflow.components.core.errors import UserError
from nashflow.components.registry.champions import Registry
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store
from tests.components.registry.conftest import crowned
from tests.fixtures.tracking import free_port
from tests.pipelines.gc.runs import OLD, YOUNG, a_run, aged, assert_whole, clean, files, names


@pytest.fixture
def registry(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    client.create_registered_model("champion")
    return client


def tracked(store: Store, parent: str, uri: str = "x") -> None:
    """Let a run be tracked by MLflow runs."""
    tracking = {"uri": uri, "experiment": "0", "parent": parent}
    replace(require_run(store), tracking=tracking).write(store)
    aged(store.uri, OLD)


def by_source(client: MlflowClient, store: Store) -> None:
    client.create_model_version("champion", store.location("policies/001/main"))


def by_file_uri(client: MlflowClient, store: Store) -> None:
    client.create_model_version("champion", Path(store.location("policies/002/main")).as_uri())


def by_run(client: MlflowClient, store: Store) -> None:
    run = client.create_run("0")
    tracked(store, run.info.run_id)
    client.create_model_version("champion", "s3://elsewhere/copy", run.info.run_id)


def by_nested_run(client: MlflowClient, store: Store) -> None:
    parent = client.create_run("0").info.run_id
    tracked(store, parent)
    nested = client.create_run("0", tags={"nashflow.parent": parent})
    client.create_model_version("champion", "s3://elsewhere/copy", nested.info.run_id)


def by_logged_model(client: MlflowClient, store: Store) -> None:
    tags = {"nashflow.uri": store.location("policies/001/main"), "mlflow.model.isExternal": "true"}
    model = client.create_logged_model("0", "main-001", tags=tags)
    client.finalize_logged_model(model.model_id, "READY")
    client.create_model_version("champion", f"models:/{model.model_id}", model_id=model.model_id)


def by_gate(client: MlflowClient, store: Store) -> None:
    crowned(Registry("champion", client), store, "001/main")
    version = client.get_model_version_by_alias("champion", "champion")
    assert version.tags["nashflow.uri"].startswith(store.uri)


def by_its_tag(client: MlflowClient, store: Store) -> None:
    """Its source is a copy; its tag says of what."""
    tags = {"nashflow.uri": store.location("policies/001/main/0123456789abcdef")}
    client.create_model_version("champion", "s3://elsewhere/copy", tags=tags)


@pytest.mark.parametrize(
    "register", [by_gate, by_its_tag, by_source, by_file_uri, by_run, by_nested_run, by_logged_model]
)
def test_a_run_with_a_registered_model_stays(
    prefix: Path, registry: MlflowClient, register: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    registered, similar = a_run(prefix, "run"), a_run(prefix, "run-2")
    register(registry, registered)
    clean(prefix)
    assert names(prefix) == {"run"}
    assert "registered as champion version 1" in capsys.readouterr().out
    assert_whole(registered)
    assert similar.list() == []


def test_the_store_beside_the_runs_is_asked(
    prefix: Path, registry: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_source(registry, a_run(prefix, "registered"))
    a_run(prefix, "other")
    shutil.copy(tmp_path / "mlflow.db", prefix / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    clean(prefix)
    assert names(prefix) == {"registered"}


@pytest.mark.parametrize("delete", [True, False])
def test_without_a_registry_nothing_tracked_is_deleted(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, delete: bool
) -> None:
    tracked(a_run(prefix, "tracked"), "0123")
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI"):
        clean(prefix, delete=delete)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://joe:hunter2@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="nothing is deleted") as refused:
        clean(prefix, delete=delete)
    assert "hunter2" not in str(refused.value)
    assert names(prefix) == {"tracked"}


def test_a_registry_that_does_not_know_the_runs_is_the_wrong_one(
    prefix: Path, registry: MlflowClient, empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion is registered in the server of its runs, and the environment names another one."""
    store, young = a_run(prefix, "champion"), a_run(prefix, "young")
    by_source(registry, store)
    run = registry.create_run("0")
    tracked(store, run.info.run_id, registry.tracking_uri)
    tracked(young, "0123", "sqlite:///gone.db")
    aged(young.uri, YOUNG)
    other = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'other.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    before = files(prefix)
    with pytest.raises(UserError, match="does not know it, so nothing is deleted") as refused:
        clean(prefix)
    (line,) = str(refused.value).splitlines()
    assert f"{store.uri} is tracked as run {run.info.run_id} in {registry.tracking_uri}, by its run.json" in line
    assert f"{other} does not know it" in line
    assert "set MLFLOW_TRACKING_URI to the server that its runs are in" in line
    assert files(prefix) == before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
    a_run(prefix, "untracked")
    clean(prefix)
    assert names(prefix) == {"champion", "young"}
    registry.delete_run(run.info.run_id)
    registry.delete_model_version("champion", "1")
    clean(prefix)
    assert names(prefix) == {"young"}
