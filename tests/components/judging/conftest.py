"""A run whose first iteration is sampled."""

from pathlib import Path

import pytest

from tests.fixtures.runs import SandboxRun, copy_files, recipe


@pytest.fixture(scope="session")
def rolled(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> SandboxRun:
    """Rollouts of the first iteration, to be copied."""
    run = prepared_root.copied(str(tmp_path_factory.mktemp("rolled") / "run"))
    run.step("rollout", 1)
    return run


@pytest.fixture(scope="session")
def rolled_by_four(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> SandboxRun:
    """Four responses to each of 24 prompts, to be copied; all are to be compared with all."""
    changes = {"method.samples": 4, "method.comparisons": "all_pairs", "prompts.per_iteration": 24}
    run = SandboxRun(str(tmp_path_factory.mktemp("four") / "run"), recipe(changes))
    copy_files(prepared_root.store, run.store, "policies/000")
    run.step("preparation")
    run.step("rollout", 1)
    return run


@pytest.fixture
def run(rolled: SandboxRun, tmp_path: Path) -> SandboxRun:
    return rolled.copied(str(tmp_path / "run"))
