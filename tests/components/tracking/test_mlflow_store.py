import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nashflow.components.core.errors import UserError
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.mlflow_store import hurried, quiet, sqlite_uri
from nashflow.components.tracking.opening import check_tracking, open_run
from tests.fixtures.tracking import RECIPE, every_run, free_port, opened

URIS = ["http://127.0.0.1:{port}", "http://joe:hunter2@127.0.0.1:{port}", "gopher://x", "here/mlruns", "file:///here"]


@pytest.mark.parametrize("uri", URIS)
def test_a_wrong_uri_is_refused_in_one_line_before_anything_runs(surroundings, local_store, uri):
    """A store in a folder too: MLflow keeps none any more."""
    surroundings.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    for ask in (check_tracking, lambda: open_run(local_store, "a run", RECIPE)):
        with pytest.raises(UserError, match=r"^set MLFLOW_TRACKING_URI to .* or unset it") as refused:
            ask()
        assert "\n" not in str(refused.value)
        assert "hunter2" not in str(refused.value)


def test_a_server_that_never_answers_is_asked_once(surroundings, silent):
    surroundings.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    surroundings.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.server_address[1]}")
    with quiet(), hurried():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "4"
    surroundings.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # the user's word goes before ours
    with pytest.raises(UserError, match=r"^set MLFLOW_TRACKING_URI to .*[Tt]imed? ?out"):
        check_tracking()
    assert silent.requests == 1


@pytest.mark.parametrize("name", ["a b", "[x]", "per%20cent", "why?", "ha#sh", "a:b@c", "%3F"])
def test_a_store_lies_in_any_folder_and_nothing_beside_it(surroundings, tmp_path, empty_mlflow, name):
    folder = tmp_path / "here" / name
    folder.mkdir()
    shutil.copy(empty_mlflow, folder)
    surroundings.setenv("MLFLOW_TRACKING_URI", sqlite_uri(folder / "mlflow.db"))
    tracking = opened(open_store(str(folder / "run")))
    client = MlflowClient(tracking.uri)
    client.log_text(tracking.parent, "words", "said.txt")
    assert [path.read_text() for path in folder.glob(f"mlartifacts/{tracking.parent}/artifacts/said.txt")] == ["words"]
    assert [path.name for path in (tmp_path / "here").iterdir()] == [name]
    assert sorted(path.name for path in folder.iterdir()) == ["mlartifacts", "mlflow.db"]


def test_a_uris_options_are_no_part_of_the_files_name(surroundings, local_store, tmp_path, empty_mlflow):
    file = shutil.copy(empty_mlflow, tmp_path / "here" / "mlflow.db")
    surroundings.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=30")
    assert opened(local_store).uri == f"sqlite:///{file}?timeout=30"
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("kind", ["folder", "other file"])
def test_an_sqlite_file_that_cannot_be_one_is_refused_at_once(surroundings, local_store, tmp_path, kind):
    target = tmp_path / "mlflow.db"
    target.mkdir() if kind == "folder" else target.write_bytes(b"no database at all" * 100)
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{target}")
    pauses = []
    surroundings.setattr(time, "sleep", pauses.append)
    with pytest.raises(UserError, match="database"):
        open_run(local_store, "a run", RECIPE)
    assert pauses == []


KILLED_WHILE_MAKING_TABLES = """
import os, signal
from alembic.runtime.migration import MigrationContext
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.mlflow_store import hurried, quiet, sqlite_uri
from nashflow.components.tracking.opening import check_tracking, open_run
from nashflow.components.storage.store import open_store
MigrationContext._ensure_version_table = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
open_run(open_store("run"), "a run", {})
"""


def test_a_store_whose_making_is_killed_is_not_there_at_all(surroundings, local_store, tmp_path):
    file = tmp_path / "new folder" / "mlflow.db"
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    assert subprocess.run([sys.executable, "-c", KILLED_WHILE_MAKING_TABLES], check=False).returncode == -9
    assert file.parent.is_dir()
    assert not file.exists()
    opened(local_store)
    assert MlflowClient().tracking_uri == f"sqlite:///{file}"
    assert len(every_run(MlflowClient())) == 1


def test_a_store_that_another_run_makes_meanwhile_is_kept(surroundings, local_store, tmp_path, empty_mlflow, capfd):
    file, link = tmp_path / "mlflow.db", os.link
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")

    def too_late(made: Path, wanted: Path) -> None:
        MlflowClient(f"sqlite:///{shutil.copy(empty_mlflow, file)}").create_experiment("another's")
        link(made, wanted)

    surroundings.setattr(os, "link", too_late)
    opened(local_store)
    assert {found.name for found in MlflowClient().search_experiments()} >= {"Default", "another's", "nashflow"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "mlflow.db"]
    assert capfd.readouterr() == ("", "")


def test_a_relative_sqlite_store_is_where_preparation_was(surroundings, local_store, tmp_path, empty_mlflow):
    shutil.copy(empty_mlflow, tmp_path / "here" / "mlflow.db")
    surroundings.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert opened(local_store).uri == f"sqlite:///{tmp_path}/here/mlflow.db"
