"""The last line of a run: how to look at it in MLflow."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nashflow.pipelines.mlflow_ui import how_to_look, page_of

BESIDE = Path(sys.executable).with_name("mlflow")


@pytest.mark.parametrize("here", ["below", "beside"])
def test_the_command_finds_program_and_store_from_the_current_folder(
    here: str, tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my runs" / "mlflow.db"
    file.parent.mkdir()
    shutil.copy(empty_mlflow, file)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path if here == "below" else Path.home())
    program, ui, option, uri = shlex.split(how_to_look(f"sqlite:///{file}"))
    assert (ui, option) == ("ui", "--backend-store-uri")
    assert BESIDE.samefile(program)
    assert uri == ("sqlite:///my runs/mlflow.db" if here == "below" else f"sqlite:///{file}")
    assert MlflowClient(uri).search_experiments()


def test_a_command_that_the_shell_finds_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(BESIDE.parent))
    assert how_to_look("sqlite:////x.db").startswith("mlflow ui ")


def test_a_server_is_named_and_a_database_is_not_shown_with_its_password() -> None:
    assert how_to_look("https://me:secret@mlflow.example:5000/") == "https://mlflow.example:5000/"
    line = how_to_look("postgresql://me:secret@db/mlflow")
    assert "secret" not in line
    shown = subprocess.run(
        ["sh", "-c", f"echo {line.partition('--backend-store-uri ')[2]}"],
        env={**os.environ, "MLFLOW_TRACKING_URI": "postgresql://me:secret@db/mlflow"},
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "postgresql://me:secret@db/mlflow"


def test_the_page_that_charts_runs_is_on_the_server_or_on_that_of_the_command() -> None:
    chart = "/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert page_of("https://me:secret@mlflow.example:5000/", "7") == f"https://mlflow.example:5000{chart}"
    assert page_of("sqlite:////runs/mlflow.db", "7") == f"http://127.0.0.1:5000{chart}"
