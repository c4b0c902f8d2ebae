import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nashflow.components.core.errors import UserError
from nashflow.components.tracking.opening import open_run
from tests.fixtures.tracking import RECIPE, every_run, free_port, opened


@pytest.mark.parametrize("uri", ["http://127.0.0.1:{port}", "http://joe:hunter2@127.0.0.1:{port}", "gopher://x"])
def test_a_wrong_uri_is_refused_in_one_line_before_anything_runs(surroundings, local_store, uri):
    surroundings.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI to") as refused:
        open_run(local_store, "a run", RECIPE)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


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
from nashflow.components.tracking.opening import open_run
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
    assert {found.name for found in MlflowClient().search_experiments()} == {"Default", "another's", "nashflow"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "mlflow.db"]
    assert capfd.readouterr() == ("", "")


def test_a_relative_sqlite_store_is_where_preparation_was(surroundings, local_store, tmp_path, empty_mlflow):
    shutil.copy(empty_mlflow, tmp_path / "here" / "mlflow.db")
    surroundings.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert opened(local_store).uri == f"sqlite:///{tmp_path}/here/mlflow.db"
