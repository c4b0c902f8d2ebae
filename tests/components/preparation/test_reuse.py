"""Comparisons of earlier runs as data of a new one: found by digests, dealt out once, trained on with right anchors."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.digests import digest_json
from nashflow.components.core.errors import UserError
from nashflow.components.judging.reused import Recorded
from nashflow.components.oracles.base import Query, Verdict
from nashflow.components.preparation.reuse import FIRST_ROW, Choice, Seen
from nashflow.components.prompts.layouts.base import Bad
from nashflow.components.storage import layout, outcome
from nashflow.pipelines.run_root import open_run
from tests.fixtures.folders import over
from tests.fixtures.runs import SandboxRun, copy_files, recipe

Prepare = Callable[..., SandboxRun]
SIZE = 40


@pytest.fixture
def earlier(finished: SandboxRun, prepared_root: SandboxRun, tmp_path: Path) -> SandboxRun:
    """A finished run, beside those that `prepare` makes."""
    run = finished.copied(str(tmp_path / "earlier"))
    outcome.write(run.store, "succeeded", "", "")
    return run


def reusing(run: SandboxRun, **more: Any) -> dict[str, Any]:
    return {"judging.reuse": {"runs": [run.root], "per_iteration": SIZE, **more}, "method.labels": "soft"}


def content(run: SandboxRun, place: str) -> list[tuple[Any, ...]]:
    """Reused comparisons as what was compared, and the verdict."""
    prompts, sides, rows = (run.rows(place, kind) for kind in ("prompts", "rollouts", "comparisons"))
    assert [row["row_id"] for row in prompts] == [row["row_id"] for row in rows]
    return [
        (
            json.dumps(prompt["messages"]),
            sides[2 * place]["text"],
            sides[2 * place + 1]["text"],
            (row["forward"], row["backward"], row["probability"], row["winner"]),
        )
        for place, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
    ]


def recorded(run: SandboxRun) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    """Every comparison of a run by what was compared."""
    found = {}
    for iteration in (1, 2):
        messages = {row["row_id"]: json.dumps(row["messages"]) for row in run.content("prompts", iteration)}
        texts = {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", iteration)}
        for row in run.content("comparisons", iteration):
            key = (messages[row["row_id"]], *(texts[row["row_id"], row[side]] for side in ("first", "second")))
            verdict = (row["forward"], row["backward"], row["probability"], int(row["winner"] != row["first"]))
            found[key] = verdict
    return found


def test_what_the_same_oracle_has_compared_is_dealt_out_once(earlier: SandboxRun, prepare: Prepare) -> None:
    run = prepare(reusing(earlier))
    first, second = (content(run, f"{t:03d}/reused/00000") for t in (1, 2))
    assert (len(first), len(second)) == (SIZE, SIZE)
    there = recorded(earlier)
    for *pair, verdict in first + second:
        assert there[tuple(pair)] == verdict  # type: ignore[index]
    pairs = [(prompt, *sorted((one, other))) for prompt, one, other, _ in first + second]
    assert len(set(pairs)) == len(pairs), "a pair of answers to a prompt counts once"
    manifest = run.manifest("iterations/001/reused/00000")
    assert manifest.metrics["repeated"] > 0


def test_pairs_of_earlier_runs_are_labelled_and_scored_as_this_run_s_own(earlier: SandboxRun, prepare: Prepare) -> None:
    run = prepare(reusing(earlier))
    run.data(1)
    reused = {row["row_id"]: row for row in run.rows("001/reused/00000", "comparisons")}
    pairs = run.content("pairs", 1)
    own, before = ([row for row in pairs if (row["row_id"] in reused) == old] for old in (False, True))
    assert pairs == [*own, *before], "in the order of their rows"
    metrics = run.manifest("001/main/pairs/00000").metrics
    assert (metrics["reused"], metrics["reused_pairs"], metrics["pairs"]) == (SIZE, len(before), len(own))
    assert metrics["oracle_calls"] <= 96, "nothing of earlier runs is asked again"
    for row in before:
        verdict = reused[row["row_id"]]
        chosen_first = row["chosen"] == 0
        probability = verdict["probability"] if chosen_first else 1 - verdict["probability"]
        assert row["probability"] == pytest.approx(probability, abs=1e-15)
        assert row["chosen_label"] == pytest.approx(2 * probability - 1, abs=1e-15)
    known = {  # the earlier run has the same reference, the anchor of its first iteration
        json.dumps([row["prompt_ids"], row[f"{side}_ids"]]): logprob[side]
        for row, logprob in zip(earlier.content("pairs", 1), earlier.content("logprobs", 1), strict=True)
        for side in ("chosen", "rejected")
    }
    scored = {(row["row_id"], row["pair"]): row for row in run.content("logprobs", 1)}
    shared = 0
    for row in before:
        for side in ("chosen", "rejected"):
            if (key := json.dumps([row["prompt_ids"], row[f"{side}_ids"]])) in known:
                assert scored[row["row_id"], row["pair"]][side] == pytest.approx(known[key], abs=1e-9)
                shared += 1
    assert shared > SIZE / 2
    run.step("training", 1)
    table = open_run(run.root).pairs(1)
    assert len(table) == len(pairs)
    assert all(table[name].null_count == 0 for name in ("messages", "chosen_text", "rejected_text"))


def test_a_run_without_reuse_is_what_it_was(earlier: SandboxRun, prepare: Prepare) -> None:
    plain, reuser = prepare({"method.labels": "soft"}, "plain"), prepare(reusing(earlier))
    for run in (plain, reuser):
        run.data(1)
    rows = [run.content("pairs", 1) for run in (plain, reuser)]
    assert rows[0] == [row for row in rows[1] if row["row_id"] < FIRST_ROW]
    assert plain.content("comparisons", 1) == reuser.content("comparisons", 1)


def test_a_run_goes_on_and_is_extended_where_the_earlier_one_is_gone(earlier: SandboxRun, prepare: Prepare) -> None:
    run = prepare(reusing(earlier))
    before = [content(run, f"{t:03d}/reused/00000") for t in (1, 2)]
    longer = run.changed(run__iterations=3)
    longer.step("preparation")
    assert [content(longer, f"{t:03d}/reused/00000") for t in (1, 2)] == before
    assert content(longer, "003/reused/00000")
    shutil.rmtree(earlier.root)
    longer.step("preparation")
    with pytest.raises(UserError, match="no run here"):
        longer.changed(run__iterations=4).step("preparation")


def test_the_newest_runs_of_the_name_are_found_and_kept(earlier: SandboxRun, prepare: Prepare, tmp_path: Path) -> None:
    changes = {"judging.reuse": {"earlier": 1, "per_iteration": SIZE}}
    run = prepare(changes)
    assert json.loads(run.store.read(layout.RUN))["reused"] == [earlier.root]
    later = earlier.copied(str(tmp_path / "later"))
    outcome.write(later.store, "succeeded", "", "")
    run.step("preparation")
    assert json.loads(run.store.read(layout.RUN))["reused"] == [earlier.root], "the run's own choice stays"
    another = prepare(changes, "another")
    assert json.loads(another.store.read(layout.RUN))["reused"] == [later.root]
    outcome.write(later.store, "failed", "", "")
    assert json.loads(prepare(changes, "third").store.read(layout.RUN))["reused"] == [earlier.root]


def test_the_first_run_of_a_name_finds_nothing_and_learns_from_its_own(prepare: Prepare) -> None:
    run = prepare({"judging.reuse": {"earlier": 3, "per_iteration": SIZE}})
    run.data(1, ("rollout", "judging"))
    assert run.manifest("001/main/pairs/00000").metrics["reused"] == 0


def test_several_shards_share_an_iteration_s_comparisons(earlier: SandboxRun, prepare: Prepare) -> None:
    whole = prepare(reusing(earlier), "whole")
    parts = prepare({**reusing(earlier), "prompts.shards": 3}, "parts")
    found = [content(parts, f"001/reused/{shard:05d}") for shard in range(3)]
    assert [row for part in found for row in part] == content(whole, "001/reused/00000")
    assert {len(each) for each in found} == {13, 14}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"oracle.world.seed": 5, "policy.world.seed": 5}, "is of this run's oracle"),
        ({"judging.reuse": {"runs": ["/nowhere"], "per_iteration": 1}}, "/nowhere: no run here"),
    ],
)
def test_runs_that_cannot_be_reused_are_named(
    changes: Mapping[str, Any], said: str, earlier: SandboxRun, tmp_path: Path
) -> None:
    run = SandboxRun(str(tmp_path / "new"), recipe({**reusing(earlier), **changes}))
    with pytest.raises(UserError, match=said):
        run.step("preparation")


def test_another_tokenizer_is_refused(earlier: SandboxRun, tmp_path: Path, prepared_root: SandboxRun) -> None:
    key = "policies/000/main.manifest.json"
    data = json.loads(earlier.store.read(key))
    data["files"]["tokenizer.json"]["sha256"] = "0" * 64
    earlier.store.write(key, json.dumps(data).encode())
    run = SandboxRun(str(tmp_path / "new"), recipe(reusing(earlier)))
    copy_files(prepared_root.store, run.store, "policies/000")
    with pytest.raises(UserError, match="has another tokenizer than this run's policy"):
        run.step("preparation")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"judging.reuse": {"per_iteration": 1}}, "judging.reuse: names no run: set runs to run roots, or earlier"),
        (
            {"method": {"name": "sppo", "eta": 1.0}, "judging.reuse": {"earlier": 1, "per_iteration": 1}},
            "a response is measured against others of the same policy",
        ),
        (
            {
                "method.labels": "score",
                "oracle": {"kind": "reward_model", "model": "/x"},
                "policy": {"kind": "folder", "model": "/x"},
                "prompts.path": "/x",
                "judging.reuse": {"earlier": 1, "per_iteration": 1},
                "evaluation.benchmarks": ["head_to_head"],
            },
            "scores are not recorded",
        ),
    ],
)
def test_recipes_that_cannot_reuse_say_why(changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        recipe(changes)


def test_what_is_left_out_is_counted_by_its_reason() -> None:
    class Rendered:
        def prompt(self, messages: Any) -> list[int]:
            if messages[0]["content"] == "refused":
                raise Bad("the template refuses it")
            return [1, 2]

        def text(self, messages: Any) -> str:
            return ""

        def response(self, messages: Any, text: str) -> list[int]:
            return []

    def seen(prompt: str = "p", first: str = "a", second: str = "b", ids: tuple[int, ...] = (1, 2), **row: Any) -> Seen:
        sides: Any = [{"text": text, "prompt_ids": list(ids)} for text in (first, second)]
        comparison: Any = {"abstained": False, **row}
        return Seen([{"role": "user", "content": prompt}], *sides, comparison)

    held_out = digest_json([{"role": "user", "content": "held"}])
    choice = Choice({held_out}, Rendered())
    assert choice.takes(seen())
    assert not choice.takes(seen(first="b", second="a"))
    assert not choice.takes(seen(first="a", second="a"))
    assert not choice.takes(seen("held"))
    assert not choice.takes(seen("q", abstained=True))
    assert not choice.takes(seen("q", ids=(1, 3)))
    assert not choice.takes(seen("refused"))
    assert choice.takes(seen("q"))
    assert choice.left_out == {"repeated": 1, "identical": 1, "held_out": 1, "abstained": 1, "other_tokens": 2}


def test_prompts_of_a_file_that_are_held_out_now_are_not_learned_from(folders: Path, tmp_path: Path) -> None:
    changes = over(folders, method__labels="soft") | {"rollout.max_new_tokens": 4, "run.iterations": 2}
    before = SandboxRun(str(tmp_path / "before"), recipe(changes))
    before.step("preparation")
    before.data(1, ("rollout", "judging"))
    reuse = {"judging.reuse": {"runs": [before.root], "per_iteration": 6}, "run.seed": 1}
    run = SandboxRun(str(tmp_path / "after"), recipe(changes | reuse))
    figures = run.step("preparation").metrics
    held_out = [row["messages"] for row in run.rows("000/prompts/held_out", "prompts")]
    reused = [row["messages"] for t in (1, 2) for row in run.rows(f"{t:03d}/reused/00000", "prompts")]
    asked = [row["messages"] for row in before.content("prompts", 1)]
    left = [messages for messages in asked if messages not in held_out]
    assert len(left) < len(asked), "the seed holds out others"
    assert sorted(map(str, reused)) == sorted(map(str, left))
    assert (figures["reused"], figures["not_reused_held_out"]) == (len(left), len(asked) - len(left))
    run.data(1)
    ids = {row["row_id"]: row["prompt_ids"] for row in run.rows("001/reused/00000", "rollouts")}
    pairs = [row for row in run.content("pairs", 1) if row["row_id"] in ids]
    assert all(row["prompt_ids"] == ids[row["row_id"]] for row in pairs)


def test_a_verdict_is_the_same_in_either_order() -> None:
    row: Any = {"forward": 0.9, "backward": 0.7, "probability": 0.8, "abstained": False, "members": [0.6, 1.0]}
    for texts in (("a", "b"), ("b", "a")):
        oracle = Recorded()
        query = Query([{"role": "user", "content": "p"}], *texts)
        oracle.learn(query, row)
        (verdict, swapped) = oracle.compare([query, query.swapped()])
        assert verdict == Verdict(0.9, 0.7, 0.8, members=(0.6, 1.0)) or not query.ordered
        assert verdict.probability == pytest.approx(0.8)
        assert verdict.forward == pytest.approx(0.9)
        assert swapped.probability == pytest.approx(0.2)
        assert verdict.members == pytest.approx((0.6, 1.0))
