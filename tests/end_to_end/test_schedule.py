"""A schedule of six firings over prompts that drift: promoted, skipped, refused, rolled back, and who can tell why."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.local import execute
from nashflow.pipelines.run import _PRELOAD
from tests.fixtures import cli, models
from tests.fixtures.folders import write_prompts
from tests.fixtures.runs import recipe
from tests.fixtures.webhook import receiving

WEAK, BARELY, STRONG = (f"training.learning_rate={rate}" for rate in ("1e-4", "1e-6", "1e-2"))
ENGLISH = ["how", "why", "rain", "river", "small", "green", "walks", "over", "under", "stone", "light", "bread"]
RUSSIAN = ["как", "почему", "дождь", "река", "малый", "зелёный", "идёт", "над", "под", "камень", "свет", "хлеб"]
RULE = '''
import math

def even(messages, first, second):
    """Characters with even numbers are better."""
    one, other = (sum(ord(c) % 2 == 0 for c in text) / (1 + len(text)) for text in (first, second))
    return 1 / (1 + math.exp(-40 * (one - other)))
'''


class Schedule:
    """Fires the one compiled graph, as Kubeflow does: a job's id each, the parameter `set` aside."""

    def __init__(self, folder: Path) -> None:
        models.llama(folder / "policy")
        (folder / "rule.py").write_text(RULE)
        write_prompts(folder / "held_out.jsonl", [f"held out question {number}" for number in range(128)])
        self._folder, self._package, self._prompts = folder, folder / "pipeline.yaml", list[str]()
        compile_graph(recipe(self._changes()), self._package)

    def _changes(self) -> dict[str, Any]:
        at = self._folder
        return {
            "run": {"name": "weekly", "iterations": 1},
            "method": {
                "name": "iterative_dpo",
                "beta": 0.05,
                "labels": "binary",
                "samples": 8,
                "comparisons": "bracket",
            },
            "policy": {"kind": "folder", "model": str(at / "policy")},
            "oracle": {"kind": "rules", "function": f"{at}/rule.py:even"},
            "prompts": {"path": str(at / "prompts.jsonl"), "per_iteration": 40, "held_out": 128},
            "rollout": {"max_new_tokens": 16, "batch_size": 64, "dtype": "float32"},
            "logprobs": {},
            "training": {"epochs": 12, "batch_size": 8, "learning_rate": 3e-4},
            "evaluation": {"benchmarks": ["head_to_head"], "prompts": {"path": str(at / "held_out.jsonl")}},
            # What wins under this rule ends its answers later than what it has learned from.
            "promotion": {
                "model": "weekly",
                "first": "promote",
                "first_look": 32,
                "guards": {"length": None, "cut": None},
            },
            "notifications": {"webhooks": [{"kind": "json", "url_variable": "HOOK"}]},
            "cluster": {"run_root": str(at / "runs/{job}")},
        }

    def add(self, words: Sequence[str], seed: int) -> None:
        """New prompts come in, of these words."""
        random = np.random.default_rng(seed)
        self._prompts += [" ".join(random.choice(words, 8)) for _ in range(40)]
        write_prompts(self._folder / "prompts.jsonl", self._prompts)

    def fire(self, job: str, settings: str) -> None:
        """One firing, to its end."""
        fired = self._folder / f"{job}.yaml"
        fired.write_text(self._package.read_text().replace("{{$.pipeline_job_uuid}}", job))
        arguments = {"only_new_prompts": True, "set": settings}
        execute(fired, arguments, self._folder / "kfp" / job, _PRELOAD, {"OMP_NUM_THREADS": "1"}, lambda event: None)


@pytest.mark.runs
def test_six_firings_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with receiving() as server:
        monkeypatch.setenv("HOOK", server.url)
        schedule = Schedule(tmp_path)
        schedule.add(ENGLISH, 1)
        schedule.fire("week-1", WEAK)
        schedule.fire("week-2", WEAK)
        schedule.add(ENGLISH, 3)
        schedule.fire("week-3", BARELY)
        schedule.add(RUSSIAN, 4)
        schedule.fire("week-4", STRONG)
        cli.call("rollback", "weekly", "--reason", "the desk complains", MLFLOW_TRACKING_URI=tracking)
        schedule.add(RUSSIAN, 5)
        schedule.fire("week-5", STRONG)
        schedule.add(RUSSIAN, 6)
        schedule.fire("week-6", BARELY)
    told = [(body["job"], body["event"]) for body in server.bodies if body["event"] != "finished"]
    assert told == [
        ("week-1", "promoted"),
        ("week-2", "skipped"),
        ("week-3", "refused"),
        ("week-4", "promoted"),
        ("week-5", "promoted"),
        ("week-6", "refused"),
    ]
    output = ("--under", str(tmp_path / "runs"), "--output", str(tmp_path / "drift"))
    said = cli.call("drift", "models:/weekly", *output, MLFLOW_TRACKING_URI=tracking).stdout
    assert "week-4: Rolled back to version 1: the desk complains." in said
    assert "week-2: skipped: 0 of 40 prompts are new to runs named weekly" in said
    record = json.loads((tmp_path / "drift" / "drift.json").read_text())
    weeks = record["runs"]
    assert [week["became"] or week["outcome"] for week in weeks] == [
        *("promoted", "skipped", "refused", "rolled back", "promoted", "refused")
    ]
    assert [week["prompts"] and week["prompts"]["shifted"] for week in weeks] == [None, None, False, True, True, True]
    assert record["first_champion"] == str(tmp_path / "runs" / "week-1")
    against = {week["run_root"].rpartition("/")[2]: week["win_rate"] for week in weeks if week["win_rate"]}
    assert against.keys() == {"week-3", "week-4", "week-5", "week-6"}
    assert against["week-5"]["low"] > 0.5
    assert against["week-6"]["value"] < against["week-5"]["low"]
    assert [asked["changed"] for asked in record["judge"]] == [0.0]
    explained = {
        "week-1": "promotion: iteration 1 of weekly promoted as version 1: there was no champion",
        "week-2": "ended: skipped",
        "week-3": "promotion: iteration 1 of weekly refused",
        "week-4": "Rolled back to version 1: the desk complains",
    }
    for week, why in explained.items():
        place = str(tmp_path / "runs" / week)
        named = (place, "--runs", str(tmp_path / "runs"), "--no-verify")
        assert why in cli.here("trace", *named, MLFLOW_TRACKING_URI=tracking, COLUMNS="2000").stdout
