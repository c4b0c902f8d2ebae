"""The judging and evaluation of a run whose oracle is people: what is asked when, and that the end is the world's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import Pending
from nashflow.components.oracles.base import Query
from nashflow.components.storage import layout, waits
from nashflow.pipelines.human.exchange import export_open, import_verdicts
from nashflow.pipelines.run_root import open_run
from tests.fixtures.people import answered, by_the_world, questions
from tests.fixtures.runs import SandboxRun


@pytest.fixture
def run(prepared_root: SandboxRun, fresh: Callable[..., SandboxRun], tmp_path: Path) -> SandboxRun:
    """A prepared run of a bracket of four, two shards, that asks people about the sandbox's answers."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f"{json.dumps({'prompt': f'x{context}'})}\n" for context in range(8)))
    changes = {
        "method": {"name": "inpo", "eta": 0.5, "tau": 0.1, "comparisons": "bracket", "samples": 4, "labels": "binary"},
        "policy": {"kind": "folder", "model": str(prepared_root.folder("000/main"))},
        "oracle": {"kind": "human"},
        "prompts": {"path": str(prompts), "per_iteration": 6, "held_out": 2, "shards": 2, "max_tokens": 16},
        "judging.batch_prompts": 2,
        "evaluation.benchmarks": ["head_to_head"],
    }
    made = fresh(changes)
    made.step("preparation")
    return made


def answer(run: SandboxRun, folder: Path, part: slice = slice(None)) -> int:
    """Answer what the run waits for, or a part of it, as the world prefers; how many questions that was."""
    export_open(run.root, folder)
    asked = questions(folder / "comparisons.jsonl")[part]
    import_verdicts(run.root, [answered(asked, folder / "verdicts.jsonl")])
    return len(asked)


def pending(run: SandboxRun, step: str, *where: Any) -> str:
    """What a step that has to wait says; what it waits for is recorded."""
    with pytest.raises(Pending) as caught:
        run.step(step, *where)
    assert str(caught.value) in waits.noted(run.store, "")
    return str(caught.value)


def test_rounds_are_exported_one_after_the_other_and_end(run: SandboxRun, tmp_path: Path) -> None:
    run.data(1, ["rollout"])
    rounds = []
    while True:
        waiting = []
        for shard in (0, 1):
            try:
                run.step("judging", 1, shard)
            except Pending as said:
                waiting.append(str(said))
        if not waiting:
            break
        rounds.append(answer(run, tmp_path))
    assert len(rounds) == 3, "rounds of a bracket of four: two matches, two, the final"
    assert rounds[0] <= 12
    assert not waits.noted(run.store, "")
    for pair in run.content("pairs", 1):
        assert pair["probability"] == 1.0
    assert {row["probability"] for row in run.content("comparisons", 1)} <= {0.0, 0.5, 1.0}
    usage = run.manifest("001/main/pairs/00000").metrics
    assert usage["usage_votes"] == usage["oracle_calls"]


def test_partial_verdicts_advance_the_prompts_that_have_them(run: SandboxRun, tmp_path: Path) -> None:
    run.data(1, ["rollout"])
    first = pending(run, "judging", 1, 0)
    assert pending(run, "judging", 1, 0) == first
    asked = run.store.list(layout.EXPORTS)
    answer(run, tmp_path, slice(0, 2))
    second = pending(run, "judging", 1, 0)
    assert second != first
    new = set(run.store.list(layout.EXPORTS)) - set(asked)
    (file,) = (Path(run.root) / key for key in new if key.endswith(".jsonl"))
    old = questions(Path(run.root) / next(key for key in asked if key.endswith(".jsonl")))
    ids = {row["comparison"] for row in old}
    assert ids - {row["comparison"] for row in questions(file)} == {row["comparison"] for row in old[:2]}
    assert {row["comparison"] for row in questions(file)} - ids, "a prompt with both verdicts is a round further"


def test_evaluation_waits_too_and_then_has_its_win_rate(run: SandboxRun, tmp_path: Path) -> None:
    assert "evaluation-000-head_to_head" in pending(run, "evaluation", 0)
    answer(run, tmp_path)
    figures = run.step("evaluation", 0).metrics
    assert 0 <= figures["win_rate"] <= 1
    assert figures["abstentions"] == 0
    assert not waits.noted(run.store, "")
    (row,) = questions(tmp_path / "comparisons.jsonl")[:1]
    (verdict,) = open_run(run.root).oracle().compare([Query(row["messages"], row["a"], row["b"])])
    assert verdict.probability == float(by_the_world(row) == "a")
