"""A whole sandbox run, by the real command, whose responses vLLM samples."""

import json
import subprocess
from pathlib import Path

from tests.fixtures.cli import command, environment
from tests.fixtures.engines import NEEDS_VLLM

pytestmark = NEEDS_VLLM
SMALL = (
    "rollout.engine=vllm",
    "rollout.dtype=float32",
    "run.iterations=1",
    "prompts.per_iteration=2048",
    "prompts.held_out=32",
    "evaluation.benchmarks=[game]",
)


def test_a_sandbox_run_sampled_by_vllm_comes_nearer_to_the_equilibrium(tmp_path: Path) -> None:
    line = command("run", "quickstart", "--run-root", str(tmp_path / "run"), sets=SMALL)
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = json.loads((tmp_path / "run/report/summary.json").read_text())["iterations"]
    assert after["duality_gap"] < 0.95 * before["duality_gap"]
    assert after["sampled_identical"] > 0
    assert after["sampled_empty"] == after["sampled_cut"] == 0
