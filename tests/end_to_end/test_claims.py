"""What the README claims of the quickstarts, measured: minutes each."""

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def _gaps(recipe: str, root: Path, *sets: str) -> list[dict[str, Any]]:
    cli.call("run", recipe, "--run-root", str(root), sets=sets)
    rows: list[dict[str, Any]] = cli.summary(root)["iterations"]
    return rows


def test_the_quickstart_approaches_the_equilibrium(tmp_path: Path) -> None:
    started = time.monotonic()
    rows = _gaps("quickstart", tmp_path / "run")
    print("seconds, two minutes on two idle cores:", time.monotonic() - started)
    gaps = [row["duality_gap"] for row in rows]
    assert gaps == sorted(gaps, reverse=True)
    assert len(set(gaps)) == 4
    assert gaps[-1] <= 0.60 * gaps[0]
    assert abs(gaps[-1] - rows[-1]["duality_gap_exact"]) <= 0.02


def test_five_seeds_of_the_quickstart(tmp_path: Path) -> None:
    ratios = []
    for seed in range(5):
        rows = _gaps("quickstart", tmp_path / f"runs/{seed}", f"run.seed={seed}")
        ratios.append(rows[-1]["duality_gap"] / rows[0]["duality_gap"])
    print("gap at T = 3 by start:", ratios)
    assert max(ratios) < 1.0
    assert statistics.median(ratios) <= 0.60


def test_ten_iterations_of_inpo_approach_and_of_iterative_dpo_leave(tmp_path: Path) -> None:
    inpo = _gaps("quickstart", tmp_path / "inpo", "run.iterations=10")
    dpo = _gaps("quickstart-iterative-dpo", tmp_path / "dpo", "run.iterations=10")
    print("INPO", [row["duality_gap"] for row in inpo], "DPO", [row["duality_gap"] for row in dpo])
    assert inpo[10]["duality_gap"] <= 0.20 * inpo[0]["duality_gap"]
    assert dpo[10]["duality_gap"] > dpo[0]["duality_gap"]
    assert dpo[3]["duality_gap"] > dpo[0]["duality_gap"]


def test_a_fresh_clone_runs_by_make_alone(tmp_path: Path) -> None:
    """`make run` as a stranger types it: it makes its own virtual environment."""
    source = Path(__file__).parents[2]
    subprocess.run(["git", "clone", "--quiet", str(source), str(tmp_path / "clone")], check=True)
    clone = tmp_path / "clone"
    done = subprocess.run(["make", "run"], cwd=clone, env=cli.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert json.loads((clone / "runs/quickstart/report/summary.json").read_text())["method"] == "inpo"
