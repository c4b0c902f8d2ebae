"""The steps that sample and judge take the memory of a few prompts, however many there are."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.machine import peak_gib
from nashflow.components.models.folders import load_tokenizer
from nashflow.components.oracles.base import Oracle, Query, Verdict
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.sampling.engines import Transformers
from nashflow.components.sampling.sampler import Sampled
from tests.fixtures.runs import SandboxRun, recipe

LONG = 1000
"""Tokens of a response: its rows weigh as much as those of models in use."""


class Talker:
    """A sampler that says what its seed says, at once."""

    def __init__(self, policies: Mapping[Path, float], *others: object) -> None:
        self.tokenizer = load_tokenizer(next(iter(policies)))

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], *, batch_size: int, **others: object
    ) -> Iterator[list[tuple[int, Sampled]]]:
        for start in range(0, len(prompts), batch_size):
            rows = range(start, min(start + batch_size, len(prompts)))
            yield [(row, Sampled([seeds[row] % 1000] * LONG, "stop", f"{seeds[row]} " * 200)) for row in reversed(rows)]

    def close(self) -> None:
        pass


class Unfair(Oracle):
    """An oracle that prefers the first text, at once."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        return [Verdict.of(0.75, 0.75) for _ in queries]


def peak(root: str, changes: dict[str, Any], step: str) -> float:
    """The most memory that this process has held, in GiB, after one step."""
    Transformers.open = lambda self, *arguments: Talker(*arguments)  # type: ignore[method-assign, assignment]
    SandboxOracle.load = lambda self, store: Unfair()  # type: ignore[method-assign]
    SandboxRun(root, recipe(changes)).step(step, 1)
    return peak_gib()


@pytest.mark.slow
def test_ten_times_the_prompts_take_the_same_memory(prepare: Callable[..., SandboxRun]) -> None:
    peaks: dict[str, list[float]] = {"rollout": [], "judging": []}
    for count in (5000, 50000):  # several row groups of Parquet, the largest thing that is held, in both
        changes = {"prompts.per_iteration": count}
        run = prepare(changes, f"run-{count}")
        for step, measured in peaks.items():
            command = [sys.executable, "-m", __name__, run.root, json.dumps(changes), step]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            measured.append(float(done.stdout.split()[-1]))
    for step, (few, many) in peaks.items():
        assert many <= 1.1 * few, f"{step}: {few} GiB, {many} GiB"


if __name__ == "__main__":
    print(peak(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]))
