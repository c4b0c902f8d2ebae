"""A prefix for run roots, and no MLflow but a test's own."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "runs"
