"""Forwards: what used a policy, a data set, a run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.registry.version import Version
from nashflow.pipelines.lineage.traced import Trace
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import SandboxRun
from tests.pipelines.lineage.conftest import starting_from

Traced = Callable[..., Trace]


def said(trace: Trace) -> set[tuple[str, str, str]]:
    return {(use.kind, use.place, use.how) for use in trace.uses}


def test_a_policy_that_another_run_starts_from(made: SandboxRun, onwards: SandboxRun, traced: Traced) -> None:
    used = ("run", onwards.root, "starts from the weights of policies/002/main")
    assert used in said(traced(f"{made.root}@2"))
    assert used in said(traced(made.root))
    assert used not in said(traced(f"{made.root}@1"))
    assert not any(kind == "run" for kind, _, _ in said(traced(f"{made.root}@1")))


def test_a_copy_of_a_policy_counts_too(made: SandboxRun, traced: Traced, tmp_path: Path) -> None:
    copy = starting_from(made, f"{tmp_path}/runs/copy", copy_files=True)
    assert ("run", copy.root, "starts from the weights of policies/002/main") in said(traced(f"{made.root}@2"))


def test_a_run_elsewhere_that_only_points_to_a_policy_is_known_by_its_claim(
    made: SandboxRun, traced: Traced, tmp_path: Path
) -> None:
    far = starting_from(made, f"{tmp_path}/elsewhere/far")
    assert ("run", far.root, "starts from the weights of policies/002/main") in said(traced(f"{made.root}@2"))


def test_units_of_the_same_run(made: SandboxRun, traced: Traced) -> None:
    (pairs,) = Path(made.root, "iterations/001/main/pairs").glob("*.parquet")
    within = {use.name: use.how for use in traced(pairs).uses if use.kind == "units"}
    assert within["policies"] == "2 units of iterations 1, 2"
    assert within["rollouts"] == "1 unit of iteration 2"
    assert set(within) == {"logprobs", "policies", "evaluation", "rollouts", "pairs"}


def test_shards_of_prompts_that_another_run_has_too(made: SandboxRun, onwards: SandboxRun, traced: Traced) -> None:
    (prompts,) = Path(made.root, "iterations/001/prompts").glob("*.parquet")
    assert ("run", onwards.root, "has the same prompts, in 1 shard") in said(traced(prompts))


def test_a_run_that_names_it_in_a_setting(made: SandboxRun, onwards: SandboxRun, traced: Traced) -> None:
    opponent = {"kind": "versus", "opponent": f"run:{made.root}@1"}
    data = json.loads(onwards.store.read("run.json"))
    data["recipe"]["evaluation"]["rival"] = opponent
    onwards.store.write("run.json", json.dumps(data).encode())
    assert ("run", onwards.root, "names it in evaluation.rival.opponent, policy.model") in said(traced(made.root))


def test_versions_of_registered_models(champion: Version, made: SandboxRun, traced: Traced) -> None:
    assert ("model", champion.place, "registered, champion") in said(traced(f"{made.root}@2"))
    assert ("model", champion.place, "registered, champion") in said(traced(made.root))
    assert not any(kind == "model" for kind, _, _ in said(traced(f"{made.root}@1")))


def test_an_mlflow_that_does_not_answer_leaves_a_note(
    made: SandboxRun, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nonexistent/mlflow.db")
    found = traced(made.root)
    assert found.faults == []
    (note,) = found.notes
    assert "was not asked" in note


def test_a_file_of_prompts_from_outside_of_runs(
    folders: Path, prepare: Callable[..., SandboxRun], traced: Traced, tmp_path: Path
) -> None:
    """Recognised by its prompts, also where the file has other ones besides and is written in another way."""
    run = prepare(over(folders), root="runs/asking")
    questions = [json.loads(line)["prompt"] for line in (folders / "prompts.jsonl").read_text().splitlines()]
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"prompt": question} for question in [*questions[:30], "a new one"]]))
    learnt, held = (
        {row["messages"][0]["content"] for unit in units for row in run.rows(unit, "prompts")}
        for units in (["001/prompts/00000", "002/prompts/00000"], ["000/prompts/held_out"])
    )
    known = {
        kind: len(rows & set(questions[:30])) for kind, rows in (("learns from", learnt), ("is measured on", held))
    }
    assert said(traced(other)) == {
        ("run", run.root, f"learns from {known['learns from']} of them; it has {len(learnt)}"),
        ("run", run.root, f"is measured on {known['is measured on']} of them; it has {len(held)}"),
    }
    assert len(said(traced(folders / "prompts.jsonl"))) == 2


def test_prompts_that_no_run_has(made: SandboxRun, traced: Traced, tmp_path: Path) -> None:
    stray = write_prompts(tmp_path / "stray.jsonl", ["a", "b"])
    with pytest.raises(UserError, match=r"2 prompts, of which no run right below .* has any: name the folder of runs"):
        traced(stray)
