"""`nashflow rollback` and `nashflow champions`, as processes."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nashflow.components.registry.champions import Registry
from tests.components.registry.conftest import crowned
from tests.components.reports.toy_runs import WON, evaluations, toy_run
from tests.fixtures.cli import call


@pytest.fixture
def tracking(tmp_path: Path, empty_mlflow: Path) -> str:
    """A registry in which version 2 of `m` took the place of version 1."""
    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    store = toy_run(f"{tmp_path}/runs/a", evaluations(3, WON))
    for policy in ("001/main", "002/main"):
        crowned(Registry("m", MlflowClient(uri)), store, policy)
    return uri


def test_a_rollback_is_said_and_listed(tracking: str, tmp_path: Path) -> None:
    done = call("rollback", "m", "--reason", "it swears", MLFLOW_TRACKING_URI=tracking)
    place = f"{tmp_path}/runs/a/policies/001/main/0123456789abcdef"
    assert done.stdout == f"m: version 1 is the champion, and was version 2: {place}\n"
    listed = json.loads(call("champions", "m", "--json", MLFLOW_TRACKING_URI=tracking).stdout)
    assert [(row["version"], row["state"]) for row in listed] == [
        (1, "champion"),
        (2, "Rolled back to version 1: it swears"),
    ]
    table = call("champions", "m", MLFLOW_TRACKING_URI=tracking).stdout
    assert "registered model m" in table
    assert "Rolled back to version 1: it swears" in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rollback", "m", "--to", "9"), "registered model m: no version 9; there are 1, 2"),
        (("rollback", "m", "--to", "2"), "registered model m: version 2 is the champion already"),
        (("rollback", "n"), "registered model n: no version was champion before; name one by --to VERSION"),
        (("champions", "n"), "registered model n: has no versions; nashflow promote RUN_ROOT registers the first"),
    ],
)
def test_what_cannot_be_done_is_one_line(tracking: str, arguments: tuple[str, ...], said: str) -> None:
    done = call(*arguments, check=False, MLFLOW_TRACKING_URI=tracking)
    assert (done.returncode, done.stderr) == (2, f"nashflow: {said}\n")
