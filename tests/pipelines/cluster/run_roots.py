"""Run roots as runs leave them, made without running anything: manifests, `run.json`, outcome and summary."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from nashflow.components.iterations.units import Shape
from nashflow.components.storage import layout
from nashflow.components.storage.run import Run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Manifest
from nashflow.pipelines.recipe import load_recipe

METRICS: Mapping[str, Mapping[str, Any]] = {
    "rollout": {"responses": 32, "mean_length": 2.5},
    "judging": {"pairs": 14, "comparisons": 16},
    "logprobs": {"sequences": 56, "cache_hits": 0},
    "training": {"updates": 3, "loss": 0.5, "accuracy": 0.75},
    "evaluation": {"win_rate": 0.625, "duality_gap": 0.0625, "kl": 0.125},
    "preparation": {"prompts": 300},
    "reporting": {},
}


class Root:
    """The run root of a run of a quickstart with these settings, in a folder."""

    def __init__(self, folder: Path, began: datetime, *sets: str) -> None:
        self.store: Store = open_store(str(folder))
        self.recipe = load_recipe("quickstart", sets)
        self._began = began

    def prepare(self, tracking: Mapping[str, Any] | None = None) -> None:
        """What preparation leaves."""
        Run("quickstart", self.recipe.model_dump(mode="json"), {}, {}, tracking).write(self.store)
        self.finish("preparation", 5)

    def keys(self, task: str) -> list[str]:
        """The units of a task of the graph, one for each shard."""
        step, _, rest = task.partition("-")
        if step in ("preparation", "reporting"):
            return ["preparation" if step == "preparation" else "report/report"]
        iteration, _, phase = rest.partition("-")
        recipe = self.recipe
        shape = Shape(recipe.method, recipe.prompts.shards, recipe.evaluation.benchmarks)
        units = shape.units(int(iteration))
        return units[f"{phase}/{step}" if phase else step]

    def finish(self, task: str, second: float, seconds: float = 4.0, shard: int | None = None) -> None:
        """Leave a task's units, or that of one shard, as finished so long after the run's beginning."""
        keys = self.keys(task)
        for key in keys if shard is None else keys[shard : shard + 1]:
            finished = int((self._began + timedelta(seconds=second)).timestamp() * 1000)
            metrics = METRICS[task.partition("-")[0]]
            made = Manifest(key, 1, "a fingerprint", "", {}, {}, metrics, seconds, finished)
            self.store.write(f"{key}.manifest.json", json.dumps(made.to_json()).encode())

    def end(self, job: str, outcome: str, reason: str = "") -> None:
        """What closing leaves."""
        told = {"outcome": outcome, "reason": reason, "job": job, "ended": 0.0}
        self.store.write(layout.OUTCOME, json.dumps(told).encode())

    def report(self, **last: float | None) -> None:
        """What reporting leaves, with the last iteration's figures."""
        summary = {"run": "quickstart", "iterations": [{"iteration": 0, "win_rate": 0.5}, {"iteration": 1, **last}]}
        self.store.write(layout.SUMMARY, json.dumps(summary).encode())
