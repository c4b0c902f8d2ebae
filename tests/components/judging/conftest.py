"""A run whose first iteration is sampled."""

from pathlib import Path

import pytest

from tests.fixtures.runs import SandboxRun


@pytest.fixture(scope="session")
def rolled(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> SandboxRun:
    """Rollouts of the first iteration, to be copied."""
    run = prepared_root.copied(str(tmp_path_factory.mktemp("rolled") / "run"))
    run.step("rollout", 1)
    return run


@pytest.fixture
def run(rolled: SandboxRun, tmp_path: Path) -> SandboxRun:
    return rolled.copied(str(tmp_path / "run"))
