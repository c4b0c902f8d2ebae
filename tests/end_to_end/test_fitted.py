"""A run that fits its own judge to human comparisons first, and asks it."""

import gzip
import json
import os
from pathlib import Path

import pytest
import yaml

from tests.fixtures import cli
from tests.real.places import NEEDS_DATA, NEEDS_TINY_MODEL

JUDGE = {"kind": "reward_model", "layers": 1, "max_tokens": 256, "micro_batch_tokens": 2048, "learning_rate": 1e-4}


@pytest.mark.runs
@NEEDS_DATA
@NEEDS_TINY_MODEL
def test_a_run_asks_the_judge_that_judge_train_would_make(tmp_path: Path) -> None:
    model = Path(os.environ["NASHFLOW_MODELS"], "tiny-llama-7m-chat")
    pairs = tmp_path / "pairs.jsonl"
    with gzip.open(Path(os.environ["NASHFLOW_DATA"], "hh_rlhf/harmless-base-test.jsonl.gz"), "rt") as lines:
        pairs.write_text("".join(line for line, _ in zip(lines, range(200), strict=False)))
    judge = {**JUDGE, "model": str(model), "data": {"path": str(pairs)}}
    recipe = {
        "run": {"name": "fitted", "iterations": 1},
        "method": {"name": "inpo", "eta": 0.5, "tau": 0.1, "comparisons": "bracket", "samples": 4},
        "policy": {"kind": "folder", "model": str(model)},
        "prompts": {"path": str(pairs), "per_iteration": 8, "held_out": 4, "max_tokens": 256, "shards": 2},
        "oracle": {"kind": "fitted", "judge": judge},
        "rollout": {"max_new_tokens": 8},
        "training": {"epochs": 1, "batch_size": 4},
    }
    for name, data in (("recipe.yaml", recipe), ("judge.yaml", judge)):
        (tmp_path / name).write_text(yaml.safe_dump(data))
    root, command = tmp_path / "run", ("run", str(tmp_path / "recipe.yaml"), "--run-root", str(tmp_path / "run"))
    said = cli.call(*command).stdout
    (found,) = cli.summary(root)["judges"]
    assert f"judge {found['name']}: held-out accuracy " in " ".join(said.split())
    assert found["verdict"] in " ".join((root / "report/report.html").read_text().split())
    assert f"pairs of {found['name']}" in json.loads((root / "run.json").read_text())["inputs"]
    cli.call("judge", "train", str(tmp_path / "judge.yaml"), "--output", str(tmp_path / "judge"))
    figures = json.loads((tmp_path / "judge/figures.json").read_text())
    assert figures["weights"] == found["digest"]
    assert figures["verdict"] == found["verdict"]
    again = cli.call(*command).stdout
    assert [line.split()[0] for line in again.splitlines() if "finished before" in line][:1] == ["judge_training"]
    extended = cli.call(*command, sets=("run.iterations=2",)).stdout
    (line,) = (line for line in extended.splitlines() if line.strip().startswith("judge_training"))
    assert "finished before" in line
