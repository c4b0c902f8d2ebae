"""The step that fits a run's own judge: what it publishes, that it is done once, and that the run asks that judge."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.preparation.step import check
from nashflow.components.reports.summary import summarise
from nashflow.components.storage.run import require_run
from nashflow.pipelines.run_root import open_run
from tests.fixtures import models
from tests.fixtures.labelled import MARKER, PLAIN, WORDS, judge_of, write_pairs
from tests.fixtures.runs import SandboxRun


class _Read(Settings):
    oracle: AnyOracle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("model"), WORDS, spread=0.05)


@pytest.fixture
def run(model: Path, fresh: Callable[..., SandboxRun], tmp_path: Path) -> SandboxRun:
    """A prepared run of the tiny model, whose oracle is a reward model that it fits first."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f"{json.dumps({'prompt': f'{word} red'})}\n" for word in PLAIN))
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    made = fresh(
        {
            "method": {"name": "inpo", "eta": 0.5, "tau": 0.1, "samples": 4, "comparisons": "bracket"},
            "policy": {"kind": "folder", "model": str(model)},
            "oracle": {
                "kind": "fitted",
                "judge": judge_of(model, pairs, "reward_model"),
            },
            "prompts": {"path": str(prompts), "per_iteration": 6, "held_out": 2, "max_tokens": 16},
            "rollout": {"max_new_tokens": 3},
            "evaluation.benchmarks": ["head_to_head"],
        }
    )
    made.step("preparation")
    return made


def test_the_run_asks_the_judge_that_it_has_fitted(run: SandboxRun) -> None:
    with pytest.raises(UserError, match=r"this judge is not fitted there yet; run the recipe under that run root"):
        run.step("evaluation")
    done = run.step("judge_training")
    assert not done.skipped
    assert done.metrics["accuracy"] > 0.9
    assert (done.metrics["pairs"], done.metrics["held_out_pairs"]) == (120, 30)
    assert run.step("judge_training").skipped, "it is there"
    assert not run.store.list("judges/training"), "and its checkpoints are gone"
    run.data(1, ("rollout", "judging"))
    run.step("evaluation")
    (name,) = run.recipe.judges
    assert [*require_run(run.store).judges] == [name]
    (version,) = Path(run.root, "judges", name).iterdir()
    published = _Read.parse({"oracle": {"kind": "reward_model", "model": str(version)}}, "test").oracle.load()
    better, worse = f"red {MARKER}", "red up two"
    query = Query([{"role": "user", "content": "new one"}], better, worse)
    (ours,), (theirs,) = (oracle.compare([query]) for oracle in (open_run(run.root).oracle(), published))
    assert ours == theirs
    assert ours.probability > 0.8
    signature = run.recipe.oracle.made_in(run.store).signature
    assert {row["oracle"] for row in run.content("comparisons", 1)} == {signature}
    assert signature.startswith("fitted-")
    summary = summarise(run.store, require_run(run.store), 0)
    (judge,) = summary["judges"]
    assert judge["verdict"].startswith("held-out accuracy ")
    assert 0.5 < judge["accuracy_low"] < judge["accuracy"]
    assert list(summary["iterations"][0]["seconds"]) == ["judge_training", "evaluation"]
    weights = version / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(UserError, match=r"model\.safetensors: changed since it was recorded"):
        run.recipe.oracle.load(run.store)


def test_other_pairs_are_another_run(run: SandboxRun, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", seed=1)
    with pytest.raises(UserError, match=r"digest of pairs of reward_model-\w+ is '\w+' there and '\w+' here"):
        check(run.recipe, run.store)


def fitted(**settings: Any) -> dict[str, Any]:
    return {"kind": "fitted", "judge": {"kind": "reward_model", "model": "m", "data": {"path": "d"}, **settings}}


def test_members_of_a_mixture_and_the_seeding_oracle_may_be_fitted_too(run: SandboxRun) -> None:
    """Equal judges are fitted once."""
    mixture = {"kind": "mixture", "oracles": [fitted(), fitted(seed=1)], "weights": [0.5, 0.5]}
    bracket = run.recipe.method.model_copy(update={"comparisons": "seeded"})
    changed = run.changed(oracle=mixture, judging__seeding=fitted(seed=1), method=bracket.model_dump(mode="json"))
    assert len(changed.recipe.judges) == 2
    assert [judge.seed for judge in changed.recipe.judges.values()] == [0, 1]


def test_a_judge_that_reads_pairs_seeds_no_bracket(run: SandboxRun) -> None:
    bracket = run.recipe.method.model_copy(update={"comparisons": "seeded"}).model_dump(mode="json")
    with pytest.raises(UserError, match=r"judging\.seeding reads pairs of responses"):
        run.changed(method=bracket, judging__seeding=fitted(kind="pair_preference"))
