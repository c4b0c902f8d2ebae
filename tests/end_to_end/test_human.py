"""A recipe whose oracle is people, in S3, from its first export to its end: as one that asks the same of a function."""

import json
from pathlib import Path

import pytest
import yaml

from nashflow.components.storage import outcome
from nashflow.components.storage.store import open_store
from tests.fixtures import cli, people
from tests.fixtures.runs import SandboxRun


@pytest.fixture
def recipe(prepared_root: SandboxRun, tmp_path: Path) -> Path:
    """The sandbox's reference on its prompts, in a file, with two shards."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f"{json.dumps({'prompt': f'x{context}'})}\n" for context in range(8)))
    file = tmp_path / "recipe.yaml"
    sections = {
        "run": {"name": "people", "iterations": 1},
        "method": {"name": "inpo", "eta": 0.5, "tau": 0.1, "comparisons": "bracket", "samples": 2, "labels": "binary"},
        "policy": {"kind": "folder", "model": str(prepared_root.folder("000/main"))},
        "prompts": {"path": str(prompts), "per_iteration": 6, "held_out": 2, "shards": 2, "max_tokens": 16},
        "oracle": {"kind": "human"},
        "rollout": {"max_new_tokens": 3, "dtype": "float64"},
        "training": {"batch_size": 4},
        "evaluation": {"benchmarks": ["head_to_head"]},
    }
    file.write_text(yaml.safe_dump(sections))
    return file


@pytest.mark.runs
def test_people_who_answer_as_a_function_does_end_at_its_policy(
    recipe: Path, tmp_path: Path, seaweedfs_prefix: str
) -> None:
    root, page = f"{seaweedfs_prefix}/people", tmp_path / "page"
    expected = ["evaluation-000", "judging-001-main", "evaluation-001"]
    while (done := cli.call("run", str(recipe), "--run-root", root, check=False)).returncode == 3:
        assert expected.pop(0) in done.stderr
        assert "then the same command goes on" in done.stderr
        ended = outcome.read(open_store(root))
        assert ended is not None
        assert ended.outcome == "pending"
        cli.call("human", "export", root, "-o", str(page))
        answers = people.answered(people.questions(page / "comparisons.jsonl"), page / "verdicts.jsonl")
        assert "none is lacking" in cli.call("human", "import", root, str(answers)).stdout
    assert (done.returncode, expected) == (0, []), done.stderr
    rules = ("oracle.kind=rules", f"oracle.function={people.__file__}:prefers")
    cli.call("run", str(recipe), "--run-root", str(tmp_path / "rules"), sets=rules)
    roots = root, str(tmp_path / "rules")
    assert cli.weights(roots[0]) == cli.weights(roots[1])
    one, other = (cli.summary(each)["iterations"][1] for each in roots)
    for figure in ("win_rate", "pairs", "comparisons", "oracle_calls"):
        assert one[figure] == other[figure]
