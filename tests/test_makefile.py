"""`make methods`: every sandbox recipe is run, two at a time, and all are compared; by a stand-in for `nashflow`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "pipelines/recipes").glob("sandbox-*.yaml"))
STAND_IN = """#!/bin/sh
echo "$*" >> {folder}/calls
[ "$1" = run ] || exit 0
echo begin >> {folder}/at-once
until [ "$(grep -c begin {folder}/at-once)" -ge 2 ]; do sleep 0.01; done  # the first one waits for a second
sleep 0.05
echo end >> {folder}/at-once
case "$*" in *{failing}*) echo "nashflow: the disk is full" >&2; echo "nashflow: log: there" >&2; exit 75;; esac
"""


class Made:
    """A finished `make methods` in which one recipe failed, or none."""

    def __init__(self, folder: Path, failing: str, *variables: str) -> None:
        nashflow = folder / "venv/bin/nashflow"
        nashflow.parent.mkdir(parents=True)
        nashflow.write_text(STAND_IN.format(folder=folder, failing=failing))
        nashflow.chmod(0o755)
        (folder / "venv/.ready").touch()
        said = (f"VENV={folder / 'venv'}", f"METHODS_ROOT={folder / 'runs'}", "METHODS_FIGURE=all.png", *variables)
        command = ["make", "--old-file", str(folder / "venv/.ready"), "methods", *said]
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(command, cwd=ROOT, env=outer, capture_output=True, text=True, check=False)
        self.code, self.errors, self.root = done.returncode, done.stderr.splitlines(), folder / "runs"
        self.calls = (folder / "calls").read_text().splitlines()
        self.at_once = (folder / "at-once").read_text().split()


pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def run(root: Path, recipe: str, options: str = "") -> str:
    return f"run pipelines/recipes/{recipe}.yaml --run-root {root}/{recipe}{options}"


def test_every_sandbox_recipe_is_run_once_and_then_all_are_compared(tmp_path: Path) -> None:
    made = Made(tmp_path, "nothing")
    first, *others = (f"{made.root}/{recipe}" for recipe in RECIPES)
    assert made.code == 0
    runs, report, grids = made.calls[: len(RECIPES)], made.calls[len(RECIPES)], made.calls[len(RECIPES) + 1 :]
    assert sorted(runs) == sorted(run(made.root, recipe) for recipe in RECIPES)
    assert report == f"report {first} {' '.join(f'--with {other}' for other in others)} --output all.png"
    assert [grid.partition("--intransitivity ")[2].split()[0] for grid in grids] == ["0", "2.5", "5"]


def test_no_more_than_two_run_at_once(tmp_path: Path) -> None:
    running, most = 0, 0
    for event in Made(tmp_path, "nothing").at_once:
        running += 1 if event == "begin" else -1
        most = max(most, running)
    assert most == 2


def test_one_that_fails_is_named_and_the_others_are_run_but_not_compared(tmp_path: Path) -> None:
    made = Made(tmp_path, "sandbox-nash-md")
    assert made.code == 2
    assert f"sandbox-nash-md: failed: nashflow: the disk is full; log: {made.root}/sandbox-nash-md.log" in made.errors
    assert sorted(made.calls) == sorted(run(made.root, recipe) for recipe in RECIPES)


def test_some_recipes_with_other_settings(tmp_path: Path) -> None:
    options = "--set run.iterations=1 --set prompts.per_iteration=256"
    made = Made(tmp_path, "nothing", "METHODS=sandbox-inpo sandbox-egpo", f"SET={options}")
    runs = [run(made.root, recipe, f" {options}") for recipe in ("sandbox-egpo", "sandbox-inpo")]
    assert sorted(made.calls[:2]) == runs
    assert made.calls[2].startswith(f"report {made.root}/sandbox-inpo --with {made.root}/sandbox-egpo --output")
