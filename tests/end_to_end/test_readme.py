"""The README's commands: each runs as it stands, in a clone, and leaves every tracked file as it was."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import cli

ROOT = Path(__file__).parents[2]
COMMANDS = [
    command
    for block in re.findall(r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    for command in block.replace("\\\n", " ").splitlines()
    if command.startswith(".venv/bin/nashflow ")
]
SMALL = [part for setting in (*cli.SMALL, "run.iterations=1") for part in ("--set", setting)]
"""Instead of the README's ten iterations, among others: later settings count."""


@pytest.mark.runs
def test_the_commands_run_in_their_order_and_change_no_tracked_file(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    (clone / "matrix.csv").write_text("0.5,0.7,0.4\n0.3,0.5,0.8\n0.6,0.2,0.5\n")
    for command in COMMANDS:
        arguments = shlex.split(command, comments=True)
        arguments += SMALL if arguments[1] == "run" else []
        done = subprocess.run(
            arguments, cwd=clone, env=cli.environment(MLFLOW_TRACKING_URI=""), capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout.split() == ["??", "matrix.csv"]


def test_the_commands_are_those_of_the_readme() -> None:
    assert len(COMMANDS) >= 9
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"run", "report", "path", "plan", "compile", "lint"}


def test_the_real_recipe_is_the_one_that_make_real_runs() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert (ROOT / "tests/real/real.yaml").read_text().endswith("\n" + shown)
