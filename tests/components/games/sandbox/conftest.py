from pathlib import Path

import pytest

from nashflow.components.games.sandbox.reference import ReferenceFit, make_reference
from nashflow.components.games.sandbox.settings import WorldSettings
from tests.fixtures.runs import SandboxRun


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReferenceFit]:
    """The reference policy's folder of the default world, and how well it fits."""
    folder = tmp_path_factory.mktemp("sandbox") / "reference"
    return folder, make_reference(folder, WorldSettings())


@pytest.fixture(scope="session")
def reference(prepared_root: SandboxRun) -> Path:
    """The reference policy's folder of the default world, which all tests share. Not to be written to."""
    return prepared_root.folder("000/main")
