"""The log-prob step: exact values, and a cache that spares work and changes no byte."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.logprobs import step as scoring
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.models.identity import digest_of
from nashflow.components.scoring.scorer import TransformersScorer
from nashflow.components.storage import records
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import Unit
from tests.fixtures.runs import SandboxRun, logprobs, remove, snapshot, without_cache

New = Callable[..., SandboxRun]
score = TransformersScorer.score
FIRST, SECOND = (f"iterations/{iteration:03d}/main/logprobs/00000" for iteration in (1, 2))


class Killed(Exception):
    """What strikes in the middle of a step."""


class Scorer:
    """The step's scorer, killed before its call number `until`; it remembers what it was asked."""

    def __init__(self, until: int | None = None) -> None:
        self.until = until
        self.asked: list[Any] = []

    def score(self, scorer: TransformersScorer, pairs: Any, max_tokens: int) -> list[float]:
        if len(self.asked) == self.until:
            raise Killed
        self.asked.append(list(pairs))
        return score(scorer, pairs, max_tokens)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Scorer:
    spy = Scorer()
    monkeypatch.setattr(TransformersScorer, "score", lambda *arguments: spy.score(*arguments))
    return spy


@pytest.fixture
def run(finished: SandboxRun) -> SandboxRun:
    """A run whose log-probs are to be made, with an empty cache."""
    for unit in (FIRST, SECOND):
        remove(finished, unit)
    return finished


def sides(run: SandboxRun, iteration: int) -> dict[str, list[tuple[list[int], list[int]]]]:
    """Prompt and response of both sides of every pair."""
    return {
        side: [(row["prompt_ids"], row[f"{side}_ids"]) for row in run.content("pairs", iteration)]
        for side in ("chosen", "rejected")
    }


def distinct(run: SandboxRun, iteration: int) -> int:
    both = [pair for pairs in sides(run, iteration).values() for pair in pairs]
    return len({(tuple(prompt), tuple(response)) for prompt, response in both})


def test_values_are_the_exact_log_probabilities_of_every_anchor(finished_root: SandboxRun) -> None:
    for iteration, anchors in ((1, ["000/main"]), (2, ["000/main", "001/main"])):
        pairs, rows = sides(finished_root, iteration), finished_root.content("logprobs", iteration)
        assert [(row["row_id"], row["pair"], row["policy"]) for row in rows] == [
            (pair["row_id"], 0, anchor) for pair in finished_root.content("pairs", iteration) for anchor in anchors
        ]
        for anchor in anchors:
            for side in ("chosen", "rejected"):
                exact = logprobs(finished_root.folder(anchor), pairs[side])
                cached = [row[side] for row in rows if row["policy"] == anchor]
                np.testing.assert_allclose(cached, exact, atol=1e-6)


def test_anchors_that_do_not_count_are_not_scored(run: SandboxRun) -> None:
    run.changed(method={"name": "inpo", "eta": 0.5, "tau": 0.0}).step("logprobs", 2)
    assert {row["policy"] for row in run.content("logprobs", 2)} == {"001/main"}


def test_the_mean_is_the_sum_by_the_number_of_tokens(run: SandboxRun) -> None:
    run.step("logprobs", 2)
    sums = run.content("logprobs", 2)
    run.changed(method={**run.recipe.method.model_dump(), "reduction": "mean"}).step("logprobs", 2)
    means = run.content("logprobs", 2)
    for side, pairs in sides(run, 2).items():
        lengths = np.repeat([len(response) for _, response in pairs], 2)  # two anchors a pair
        np.testing.assert_allclose([row[side] for row in means], [row[side] for row in sums] / lengths, rtol=1e-12)


def test_equal_responses_are_scored_once(run: SandboxRun, scorer: Scorer) -> None:
    figures = run.step("logprobs", 1).manifest.metrics
    assert figures == {"sequences": distinct(run, 1), "cache_hits": 0, "tokens": 7 * distinct(run, 1)}
    assert sum(map(len, scorer.asked)) == distinct(run, 1) < 2 * 96


def test_every_anchor_is_opened_once_and_none_that_is_cached(
    run: SandboxRun, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(scoring, "load_causal_lm", lambda *named: opened.append(named) or load_causal_lm(*named))
    run = run.changed(logprobs__batch_tokens=280)
    run.step("logprobs", 2)
    assert len(scorer.asked) > 2
    assert opened == [(run.folder(policy), "float64") for policy in ("000/main", "001/main")]
    remove(run, SECOND)
    run.step("logprobs", 2)
    assert len(opened) == 2


def test_a_second_run_under_the_same_prefix_computes_nothing(run: SandboxRun, scorer: Scorer) -> None:
    first = run.step("logprobs", 2).manifest
    again = run.copied(str(Path(run.root).parent / "again"))
    remove(again, SECOND)
    del scorer.asked[:]
    second = again.step("logprobs", 2).manifest
    count = first.metrics["sequences"]
    assert second.metrics == {"sequences": count, "cache_hits": count, "tokens": 0}
    assert scorer.asked == []
    assert second.files == first.files


def test_another_method_shares_the_cache(run: SandboxRun, scorer: Scorer) -> None:
    run.step("logprobs", 2)
    del scorer.asked[:]
    method = {"name": "iterative_dpo", "beta": 0.5, "reference": "fixed"}
    figures = run.changed(method=method).step("logprobs", 2).manifest.metrics
    assert figures == {"sequences": distinct(run, 2), "cache_hits": distinct(run, 2), "tokens": 0}
    assert scorer.asked == []


def test_policies_and_precisions_have_caches_of_their_own(run: SandboxRun) -> None:
    run.step("logprobs", 1)
    single = run.changed(logprobs__dtype="float32")
    assert single.step("logprobs", 1).manifest.metrics["cache_hits"] == 0
    np.testing.assert_allclose(
        [row["chosen"] for row in single.content("logprobs", 1)],
        logprobs(run.folder("000/main"), sides(run, 1)["chosen"]),
        atol=1e-4,
    )
    run.step("logprobs", 2)
    policies = ("000/main", "001/main")
    digests = [digest_of(run.manifest(f"policies/{policy}")) for policy in policies]
    folders = {key.rpartition("/")[0] for key in open_store(str(Path(run.root).parent / "cache" / "logprobs")).list()}
    assert folders == {
        f"{digests[0]}/transformers-float32-sum",
        f"{digests[0]}/transformers-float64-sum",
        f"{digests[1]}/transformers-float64-sum",
    }


def test_other_pairs_under_the_same_settings_take_nothing_from_the_cache(run: SandboxRun, scorer: Scorer) -> None:
    """Another run, of other prompts or another judge."""
    first = run.step("logprobs", 1).manifest
    other = run.copied(str(Path(run.root).parent / "other"))
    judged = Unit(other.store, "iterations/001/main/pairs/00000", 1, {}, {})
    judged.publish_records({records.PAIRS: other.content("pairs", 2)[:5]}, {}, time.time())
    other.step("logprobs", 1)
    remove(run, FIRST)
    assert run.step("logprobs", 1).manifest.metrics["cache_hits"] == first.metrics["sequences"]


def test_values_found_are_mixed_with_computed_ones_without_a_trace(run: SandboxRun, scorer: Scorer) -> None:
    run.step("logprobs", 2)
    untouched = run.manifest(SECOND).files
    without_cache(run)
    run.step("logprobs", 1)  # fills a part of the reference's cache
    del scorer.asked[:]
    figures = run.changed(logprobs__batch_tokens=100).step("logprobs", 2).manifest.metrics
    assert 0 < figures["cache_hits"] < figures["sequences"] / 2
    assert scorer.asked
    assert run.manifest(SECOND).files == untouched


def test_what_a_batch_does_to_the_last_bits_vanishes(run: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    untouched = run.step("logprobs", 2).manifest.files
    without_cache(run)
    remove(run, SECOND)
    monkeypatch.setattr(
        TransformersScorer, "score", lambda *arguments: [value * (1 + 1e-14) for value in score(*arguments)]
    )
    assert run.step("logprobs", 2).manifest.files == untouched


def test_shards_that_run_together_do_not_read_each_other(prepare: New, scorer: Scorer) -> None:
    """What one finds of another would depend on which is faster."""
    run = prepare({"prompts.shards": 2}, "first/run")
    run.data(1, ["rollout", "judging"])
    for shard in (0, 1):
        assert run.step("logprobs", 1, shard).manifest.metrics["cache_hits"] == 0
    files = [run.manifest(f"001/main/logprobs/{shard:05d}").files for shard in (0, 1)]
    for shard in (1, 0):
        remove(run, f"iterations/001/main/logprobs/{shard:05d}")
        figures = run.step("logprobs", 1, shard).manifest.metrics
        assert figures["cache_hits"] == figures["sequences"]  # its own
    assert [run.manifest(f"001/main/logprobs/{shard:05d}").files for shard in (0, 1)] == files
    sequences = [{pair for batch in scorer.asked[shard : shard + 1] for pair in map(str, batch)} for shard in (0, 1)]
    assert sequences[0] & sequences[1]


def test_shards_hold_the_values_of_the_whole(finished_root: SandboxRun, prepare: New) -> None:
    run = prepare({"prompts.shards": 2})
    run.data(1)
    assert run.content("pairs", 1) == finished_root.content("pairs", 1)
    assert run.content("logprobs", 1) == finished_root.content("logprobs", 1)


@pytest.mark.parametrize("killed_before", [0, 1, 5])
def test_a_killed_step_goes_on_where_its_journal_ends(killed_before: int, run: SandboxRun, scorer: Scorer) -> None:
    run = run.changed(logprobs__batch_tokens=280)  # 40 sequences of 7 tokens
    undisturbed = run.step("logprobs", 2).manifest
    calls = len(scorer.asked)
    assert calls > 5
    without_cache(run)
    remove(run, SECOND)

    scorer.until, scorer.asked = killed_before, []
    with pytest.raises(Killed):
        run.step("logprobs", 2)
    assert len(scorer.asked) == killed_before
    scorer.until = None
    manifest = run.step("logprobs", 2).manifest
    assert len(scorer.asked) == calls  # each batch once, before or after
    assert manifest.files == undisturbed.files
    assert manifest.metrics == undisturbed.metrics
    assert run.store.list(f"{SECOND}.journal") == []


def test_a_finished_unit_is_left_alone(finished: SandboxRun, scorer: Scorer) -> None:
    before = snapshot(Path(finished.root).parent)
    assert finished.step("logprobs", 2).skipped
    assert (snapshot(Path(finished.root).parent), scorer.asked) == (before, [])


def test_no_pairs_give_no_values(run: SandboxRun) -> None:
    """Training says what to do about it."""
    judged = Unit(run.store, "iterations/001/main/pairs/00000", 1, {}, {})
    judged.publish_records({records.PAIRS: []}, {}, time.time())
    assert run.step("logprobs", 1).manifest.metrics == {"sequences": 0, "cache_hits": 0, "tokens": 0}
    assert run.content("logprobs", 1) == []


def test_the_cache_on_s3_lies_beside_the_run_root(
    run: SandboxRun, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scorer: Scorer
) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    run.step("logprobs", 1)
    remote = run.copied(f"{s3_bucket}/runs/small")
    remove(remote, FIRST)
    del scorer.asked[:]
    assert remote.step("logprobs", 1).manifest.files == run.manifest(FIRST).files
    assert scorer.asked
    assert [key.split("/")[0] for key in open_store(f"{s3_bucket}/runs/cache").list()] == ["logprobs"]
    remove(remote, FIRST)
    figures = remote.step("logprobs", 1).manifest.metrics
    assert figures["cache_hits"] == figures["sequences"]


def test_a_response_without_tokens_is_named(run: SandboxRun) -> None:
    rows = run.content("pairs", 1)
    rows[3]["rejected_ids"] = []
    pairs = run.manifest("001/main/pairs/00000")
    unit = Unit(run.store, "iterations/001/main/pairs/00000", pairs.version, None, {})
    comparisons = run.content("comparisons", 1)
    unit.publish_records({records.PAIRS: rows, records.COMPARISONS: comparisons}, pairs.metrics, time.time())
    line = (
        rf"^the rejected response of row_id {rows[3]['row_id']}, pair 0, has no tokens, .* set rollout\.engine to ano"
    )
    with pytest.raises(UserError, match=line):
        run.step("logprobs", 1)


def test_without_a_policy_it_says_which_step_comes_first(run: SandboxRun) -> None:
    remove(run, "policies/001/main")
    with pytest.raises(UserError) as caught:
        run.step("logprobs", 2)
    assert str(caught.value) == f"{run.root}/policies/001/main: not there yet; run the step that makes it first"
