"""Where shared parts keep things, in both kinds of store."""

from pathlib import Path

import pytest

from nashflow.components.shared.store import Store, open_store


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
