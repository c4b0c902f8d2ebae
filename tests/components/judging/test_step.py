"""The judging step on a run: which pairs it makes of the rollouts, and that it can be interrupted."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_index
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.oracles.base import Query, Verdict
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.storage.run import identity_of
from tests.fixtures import models
from tests.fixtures.folders import over
from tests.fixtures.runs import SandboxRun, remove
from tests.fixtures.statistics import SIGMAS
from tests.fixtures.table_oracle import TableOracle

New = Callable[..., SandboxRun]
UNIT = "iterations/001/main/pairs/00000"


class Killed(Exception):
    """What strikes in the middle of a step."""


def method(run: SandboxRun, **changes: Any) -> dict[str, Any]:
    return {**run.recipe.method.model_dump(), **changes}


def probabilities(run: SandboxRun, rows: list[dict[str, Any]], first: str, second: str) -> np.ndarray:
    """P(first ≻ second) of the world's matrix for each row's two samples."""
    matrix = make_world(WorldSettings()).matrix
    contexts = {row["row_id"]: int(row["messages"][0]["content"][1:]) for row in run.content("prompts", 1)}
    index = {(row["row_id"], row["sample"]): response_index(row["text"]) for row in run.content("rollouts", 1)}
    return np.array(
        [
            matrix[contexts[row["row_id"]], index[row["row_id"], row[first]], index[row["row_id"], row[second]]]
            for row in rows
        ]
    )


def test_every_comparison_holds_the_oracles_probability(run: SandboxRun) -> None:
    run.step("judging", 1)
    rows = run.content("comparisons", 1)
    assert [(row["row_id"], row["index"], row["first"], row["second"]) for row in rows] == [
        (row_id, 0, 0, 1) for row_id in range(96)
    ]
    exact = probabilities(run, rows, "first", "second")
    for column in ("forward", "backward", "probability"):
        np.testing.assert_allclose([row[column] for row in rows], exact, atol=1e-12)
    assert not any(row["abstained"] for row in rows)
    assert {row["oracle"] for row in rows} == {run.recipe.oracle.signature}
    assert run.recipe.oracle.signature == f"sandbox-{run.recipe.oracle.digest()[:16]}"


def test_pairs_are_the_responses_that_were_compared(run: SandboxRun) -> None:
    run.step("judging", 1)
    pairs, compared = run.content("pairs", 1), run.content("comparisons", 1)
    rollouts = {(row["row_id"], row["sample"]): row for row in run.content("rollouts", 1)}
    assert [row["chosen"] for row in pairs] == [row["winner"] for row in compared]
    for pair in pairs:
        chosen, rejected = (rollouts[pair["row_id"], pair[side]] for side in ("chosen", "rejected"))
        assert {pair["chosen"], pair["rejected"]} == {0, 1}
        assert pair["chosen_ids"] == chosen["response_ids"]
        assert pair["rejected_ids"] == rejected["response_ids"]
        assert pair["prompt_ids"] == chosen["prompt_ids"]
        assert (pair["pair"], pair["chosen_label"], pair["rejected_label"]) == (0, 1.0, -1.0)
    exact = probabilities(run, pairs, "chosen", "rejected")
    np.testing.assert_allclose([row["probability"] for row in pairs], exact, atol=1e-12)


def test_sampled_labels_are_coins_with_the_oracles_probability(prepare: New) -> None:
    run = prepare({"prompts.per_iteration": 1500, "rollout.batch_size": 3000, "judging.batch_prompts": 1500})
    run.data(1, ["rollout", "judging"])
    rows = run.content("comparisons", 1)
    exact = probabilities(run, rows, "first", "second")
    won = np.array([row["winner"] == row["first"] for row in rows])
    different = exact != 0.5
    excess = (won - exact)[different]
    assert abs(excess.sum()) < SIGMAS * np.sqrt((exact * (1 - exact))[different].sum())
    assert won[different].any()
    assert not won[different & (exact < 0.2)].all()
    assert won[different & (exact < 0.2)].any()  # upsets happen


def test_binary_labels_follow_the_likelier_side(run: SandboxRun) -> None:
    binary = run.changed(method=method(run, labels="binary"))
    binary.step("judging", 1)
    assert all(row["probability"] >= 0.5 for row in binary.content("pairs", 1))
    assert {(row["chosen_label"], row["rejected_label"]) for row in binary.content("pairs", 1)} == {(1.0, -1.0)}


def test_soft_labels_are_twice_the_probability_less_one(run: SandboxRun) -> None:
    soft = run.changed(method=method(run, labels="soft"))
    soft.step("judging", 1)
    for row in soft.content("pairs", 1):
        assert row["chosen_label"] == pytest.approx(2 * row["probability"] - 1)
        assert 0 <= row["chosen_label"] == -row["rejected_label"] <= 1


def test_identical_texts_make_no_pair_unless_wanted(run: SandboxRun) -> None:
    texts: dict[int, set[str]] = {}
    for row in run.content("rollouts", 1):
        texts.setdefault(row["row_id"], set()).add(row["text"])
    different = [row_id for row_id, mine in texts.items() if len(mine) == 2]
    assert 0 < len(different) < 96
    figures = run.changed(judging__drop_identical=True).step("judging", 1).manifest.metrics
    assert [row["row_id"] for row in run.content("pairs", 1)] == different
    assert (figures["pairs"], figures["dropped_identical"]) == (len(different), 96 - len(different))
    assert figures["oracle_calls"] == len(different)
    kept = run.step("judging", 1).manifest.metrics
    assert (kept["pairs"], kept["dropped_identical"], kept["oracle_calls"]) == (96, 0, len(different))


def test_a_bracket_of_eight_asks_eleven_times_a_prompt(prepare: New) -> None:
    method = {"name": "inpo", "eta": 0.5, "tau": 0.1, "samples": 8, "comparisons": "bracket"}
    run = prepare({"method": method, "prompts.per_iteration": 24})
    run.data(1, ["rollout", "judging"])
    figures = run.manifest(UNIT).metrics
    rows = run.content("comparisons", 1)
    assert figures["comparisons"] == len(rows) == 24 * 11
    assert figures["oracle_calls"] <= len(rows) - sum(row["repeated"] for row in rows)
    assert figures["pairs"] + figures["dropped_identical"] + figures["dropped_lost"] + figures["dropped_tie"] == 24
    last = {row["row_id"]: row for row in rows}
    for pair in run.content("pairs", 1):
        assert (last[pair["row_id"]]["first"], last[pair["row_id"]]["second"]) == (pair["chosen"], pair["rejected"])


def test_every_label_of_a_method_with_win_rates_is_a_mean_over_its_samples(prepare: New) -> None:
    run = prepare({"method": {"name": "sppo", "eta": 1.0, "samples": 4}, "prompts.per_iteration": 24})
    run.data(1, ["rollout", "judging"])
    assert run.manifest(UNIT).metrics["comparisons"] == 24 * 6
    pairs = run.content("pairs", 1)
    assert len(pairs) == 24 * 2, "copies of one text stay: either side has a label of its own"
    for side in ("chosen", "rejected"):
        rates = np.mean(
            [
                probabilities(run, [{**row, "other": other} for row in pairs], side, "other")  # of one text: 1/2
                for other in range(4)
            ],
            axis=0,
        )
        np.testing.assert_allclose([row[f"{side}_label"] for row in pairs], 2 * rates - 1, atol=1e-12)


def test_an_opponent_is_sampled_apart_and_trained_on_by_nobody(prepare: New) -> None:
    method = {
        "name": "online_ipo",
        "tau": 0.1,
        "updates": 1,
        "comparisons": "versus_opponent",
        "temperature": 2.0,
        "labels": "soft",
    }
    run = prepare({"method": method, "prompts.per_iteration": 24})
    run.data(1, ["rollout", "judging"])
    assert [row["role"] for row in run.content("rollouts", 1)[:3]] == ["pair", "pair", "opponent"]
    assert {(row["first"], row["second"]) for row in run.content("comparisons", 1)} == {(0, 2), (1, 2)}
    pairs = run.content("pairs", 1)
    assert {frozenset((row["chosen"], row["rejected"])) for row in pairs} == {frozenset((0, 1))}
    for side in ("chosen", "rejected"):
        rates = probabilities(run, [{**row, "opponent": 2} for row in pairs], side, "opponent")
        np.testing.assert_allclose([row[f"{side}_label"] for row in pairs], 2 * rates - 1, atol=1e-12)


def test_a_teachers_response_joins_and_small_margins_are_dropped(prepare: New) -> None:
    method = {"name": "dno", "samples": 3, "margin": 0.3}
    run = prepare({"method": method, "prompts.per_iteration": 24, "judging.drop_identical": True})
    run.data(1, ["rollout", "judging"])
    figures, pairs = run.manifest(UNIT).metrics, run.content("pairs", 1)
    assert figures["comparisons"] == 24 * 6
    assert figures["pairs"] + figures["dropped_margin"] + figures["dropped_identical"] == 24 * 6
    assert figures["dropped_margin"] > 0
    assert any(3 in (row["chosen"], row["rejected"]) for row in pairs)
    assert (probabilities(run, pairs, "chosen", "rejected") >= 0.65 - 1e-12).all()


def test_given_pairs_are_taken_at_their_word(prepare: New, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: Any) -> None:
        raise AssertionError("given pairs need no oracle")

    monkeypatch.setattr(SandboxOracle, "load", forbidden)
    run = prepare({"method": {"name": "ipo", "tau": 0.1}, "prompts.per_iteration": 24})
    run.data(1, ["rollout", "judging"])
    given = {row["row_id"]: row["given"] for row in run.content("prompts", 1)}
    texts = {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", 1)}
    pairs = run.content("pairs", 1)
    assert len(pairs) == 24
    for row in pairs:
        assert [texts[row["row_id"], row[side]] for side in ("chosen", "rejected")] == given[row["row_id"]]
        assert (row["probability"], row["chosen_label"], row["rejected_label"]) == (1.0, 1.0, -1.0)
    assert run.content("comparisons", 1) == []


def test_shards_and_batches_change_no_verdict(run: SandboxRun, prepare: New) -> None:
    run.step("judging", 1)
    files = run.manifest(UNIT).files
    run.changed(judging__batch_prompts=5).step("judging", 1)
    assert run.manifest(UNIT).files == files
    sharded = prepare({"prompts.shards": 3}, "sharded")
    sharded.data(1, ["rollout", "judging"])
    for kind in ("comparisons", "pairs"):
        assert sharded.content(kind, 1) == run.content(kind, 1)


def test_the_seed_tosses_other_coins(run: SandboxRun) -> None:
    run.step("judging", 1)
    first = [row["winner"] for row in run.content("comparisons", 1)]
    run.changed(run__seed=1).step("judging", 1)
    assert [row["winner"] for row in run.content("comparisons", 1)] != first


@pytest.fixture
def brackets(prepare: New) -> SandboxRun:
    """A run that is about to play brackets of four."""
    run = prepare({"method.comparisons": "bracket", "method.samples": 4, "prompts.per_iteration": 24})
    run.step("rollout", 1)
    return run.changed(judging__batch_prompts=6)


class Mortal(TableOracle):
    """Prefers the longer text, and dies instead of answering the call of a number."""

    def __init__(self, dies_at: int) -> None:
        super().__init__(lambda first, second: 0.8 if (len(first), first) > (len(second), second) else 0.3)
        self._dies_at = dies_at

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        if len(self.batches) == self._dies_at:
            raise Killed
        return super().judge(queries)


def opened_as(monkeypatch: pytest.MonkeyPatch, *deaths: int) -> list[Mortal]:
    """The oracles that the step opens, one after the other, each of which dies at its call."""
    left, opened = iter(deaths), list[Mortal]()

    def load(*_: Any) -> Mortal:
        opened.append(Mortal(next(left)))
        return opened[-1]

    monkeypatch.setattr(SandboxOracle, "load", load)
    return opened


def test_a_killed_step_goes_on_with_the_verdicts_of_tournaments_that_have_not_ended(
    brackets: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No question is asked twice, no cost is lost, and calls are those of an undisturbed step."""
    opened = opened_as(monkeypatch, -1, 1, 3, 2, -1)
    undisturbed = brackets.step("judging", 1).manifest
    remove(brackets, UNIT)
    for _ in range(3):
        with pytest.raises(Killed):
            brackets.step("judging", 1)
    manifest = brackets.step("judging", 1).manifest
    whole, *others = opened
    assert [batch for oracle in others for batch in oracle.batches] == whole.batches
    assert len(whole.batches) > 6
    assert manifest.files == undisturbed.files
    assert manifest.metrics == undisturbed.metrics
    assert manifest.metrics["usage_words"] == len(whole.asked) == manifest.metrics["oracle_calls"]
    assert manifest.metrics["usage_cost"] == 0.25 * len(whole.batches)
    assert "usage_nothing" not in manifest.metrics
    assert brackets.store.list(f"{UNIT}.journal") == []


def test_a_journal_of_an_earlier_version_is_gone_on_with(brackets: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entries are of tournaments that have ended, `batch_prompts` of them."""
    opened = opened_as(monkeypatch, -1, 3, -1)
    undisturbed = brackets.step("judging", 1).manifest
    entry = {name: [row for row in brackets.content(name, 1) if row["row_id"] < 6] for name in ("comparisons", "pairs")}
    remove(brackets, UNIT)
    with pytest.raises(Killed):
        brackets.step("judging", 1)
    (segment,) = brackets.store.list(f"{UNIT}.journal")
    brackets.store.write(segment, json.dumps([{**entry, "counts": {}}]).encode())
    assert brackets.step("judging", 1).manifest.files == undisturbed.files
    assert len(opened[2].asked) < len(opened[0].asked)


def test_a_finished_unit_needs_no_oracle(run: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.step("judging", 1)

    def forbidden(*_: Any) -> None:
        raise AssertionError("nothing is left to ask")

    monkeypatch.setattr(SandboxOracle, "load", forbidden)
    assert run.step("judging", 1).skipped
    remove(run, UNIT)
    with pytest.raises(AssertionError, match="nothing is left to ask"):
        run.step("judging", 1)


def test_a_judge_that_changes_in_its_folder_judges_again(run: SandboxRun, tmp_path: Path) -> None:
    """The settings stay the same; what they name does not."""
    folder = models.llama(tmp_path / "judge", seed=1)
    run = run.changed(
        policy={"kind": "folder", "model": str(folder)},
        oracle={"kind": "pair_preference", "model": str(folder)},
        evaluation={"benchmarks": ["kl"]},
        prompts={**run.recipe.prompts.model_dump(), "path": "elsewhere"},
    )
    assert not run.step("judging", 1).skipped
    assert run.step("judging", 1).skipped
    before = run.content("comparisons", 1)
    shutil.copy(models.llama(tmp_path / "other", seed=2) / "model.safetensors", folder)
    assert not run.step("judging", 1).skipped
    assert run.content("comparisons", 1) != before


def test_without_rollouts_it_says_which_step_comes_first(prepared: SandboxRun) -> None:
    with pytest.raises(UserError) as caught:
        prepared.step("judging", 1)
    assert str(caught.value) == (
        f"{prepared.root}/iterations/001/main/rollouts/00000: not there yet; run the step that makes it first"
    )


RULES = """
def vowels(messages, first, second):
    counts = [sum(letter in "ae" for letter in text) for text in (first, second)]
    return 0.5 + 0.5 * ((counts[0] > counts[1]) - (counts[0] < counts[1]))

def alphabet(messages, first, second):
    return 0.75 if first < second else 0.25
"""


def whole(run: SandboxRun) -> SandboxRun:
    """The run after every step of one iteration."""
    run.step("preparation")
    run.step("evaluation", 0)
    run.iterate(1)
    run.step("reporting")
    assert run.manifest(UNIT).metrics["pairs"] > 0
    return run


def test_rules_and_a_mixture_of_them_align_a_policy(fresh: New, folders: Path, tmp_path: Path) -> None:
    """On a policy in a folder and prompts in a file."""
    (tmp_path / "rules.py").write_text(RULES)
    rules = [{"kind": "rules", "function": f"{tmp_path / 'rules.py'}:{name}"} for name in ("vowels", "alphabet")]
    mixture = {"kind": "mixture", "oracles": rules, "weights": [0.75, 0.25]}
    run = whole(fresh(over(folders, oracle=mixture)))
    rows = run.content("comparisons", 1)
    assert {row["oracle"] for row in rows} == {run.recipe.oracle.signature}
    for row in rows:
        vowels, alphabet = row["members"] or (0.5, 0.5)  # of one text nobody is asked
        assert row["probability"] == pytest.approx(0.75 * vowels + 0.25 * alphabet)


def test_a_general_preference_model_aligns_a_policy(fresh: New, folders: Path, tmp_path: Path) -> None:
    """With a random head of three dimensions of preference, whose preferences go in circles. Its scores are labels."""
    heads = {"value_head.weight": (6, 64), "prompt_head.weight": (3, 64)}
    model = models.with_head(models.llama(tmp_path / "model"), **heads)
    run = whole(fresh(over(folders, oracle={"kind": "embedding", "model": str(model)}, method__labels="score")))
    prompts = {row["row_id"]: row["messages"] for row in run.content("prompts", 1)}
    texts = {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", 1)}
    rows = run.content("comparisons", 1)
    queries = [
        Query(prompts[row["row_id"]], *(texts[row["row_id"], row[side]] for side in ("first", "second")))
        for row in rows
    ]
    verdicts = run.recipe.oracle.load().compare(queries)
    assert [row["probability"] for row in rows] == pytest.approx([each.probability for each in verdicts], abs=1e-5)
    assert len({row["probability"] for row in rows}) > len(rows) / 4
    labels = np.array(
        [(row["probability"], row["chosen_label"], row["rejected_label"]) for row in run.content("pairs", 1)]
    )
    np.testing.assert_allclose(labels[:, 1], np.log(labels[:, 0] / (1 - labels[:, 0])), atol=1e-9)
    np.testing.assert_array_equal(labels[:, 1], -labels[:, 2])


def first_shown(first: str, second: str) -> float:
    raise AssertionError("nothing is left to ask")


class AlwaysA(TableOracle):
    """Prefers what is shown first, in either order."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        self.batches.append(list(queries))
        return [Verdict.of(0.9, 0.2) for _ in queries]


def test_a_judge_that_goes_by_the_position_stops_the_step_and_a_raised_limit_goes_on(
    run: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[AlwaysA] = []

    def load(*_: Any) -> AlwaysA:
        opened.append(AlwaysA(first_shown))
        return opened[-1]

    monkeypatch.setattr(SandboxOracle, "load", load)
    run = run.changed(judging__batch_prompts=20, judging__guards={"position": 0.75})
    for _ in range(2):  # the second time it asks nothing
        with pytest.raises(UserError) as caught:
            run.step("judging", 1)
        assert str(caught.value).startswith(
            f"the oracle {run.recipe.oracle.signature}: in 100.0% of its verdicts the position decides: the same place "
            "wins in both orders; position_share is above judging.guards.position = 0.75: "
        )
        assert run.store.list(f"{UNIT}.manifest.json") == []
    (stopped,) = opened
    assert len(stopped.batches) == 2  # 36 verdicts or so: 18 would be too few to tell
    raised = run.changed(judging__guards={"position": 1.0})
    metrics = raised.step("judging", 1).metrics
    assert [len(oracle.batches) for oracle in opened] == [2, 3]
    assert metrics["position_decides"] == metrics["oracle_calls"]
    assert metrics["usage_words"] == sum(len(oracle.asked) for oracle in opened)
    assert raised.changed(judging__guards={"position": 0.1}).step("judging", 1).skipped, "what is done is done"
    assert identity_of(run.recipe.model_dump(mode="json")) == identity_of(raised.recipe.model_dump(mode="json"))


def test_responses_of_too_different_lengths_make_no_pair(fresh: New, folders: Path) -> None:
    changes = {"method.samples": 4, "rollout.max_new_tokens": 6, "judging.length_ratio": 1.5}
    run = fresh(over(folders) | changes)
    run.step("preparation")
    run.data(1, ["rollout", "judging"])
    metrics, pairs = run.manifest(UNIT).metrics, run.content("pairs", 1)
    lengths = {(row["row_id"], row["sample"]): len(row["response_ids"]) for row in run.content("rollouts", 1)}
    apart = [
        max(both) > 1.5 * min(both)
        for row in run.content("comparisons", 1)
        if (both := [lengths[row["row_id"], row[side]] for side in ("first", "second")])
    ]
    assert metrics["dropped_length"] == sum(apart)
    assert all(max(len(row["chosen_ids"]), len(row["rejected_ids"])) <= 6 for row in pairs)
    assert metrics["pairs"] == len(apart) - sum(apart) - metrics["dropped_identical"]


def recorded(run: SandboxRun) -> Callable[..., list[Verdict]]:
    """An oracle that reads the comparisons of a run, and asks nobody."""
    said = {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", 1)}
    messages = {row["row_id"]: row["messages"] for row in run.content("prompts", 1)}
    verdicts = {}
    for row in run.content("comparisons", 1):
        query = Query(messages[row["row_id"]], *(said[row["row_id"], row[side]] for side in ("first", "second")))
        verdict = Verdict(row["forward"], row["backward"], row["probability"], row["abstained"])
        verdicts[str(query.messages), query.pair] = verdict if query.ordered else verdict.swapped()
    return lambda queries: [verdicts[str(query.messages), query.pair] for query in queries]


def test_comparisons_that_are_kept_serve_another_tournament_without_the_oracle(
    rolled_by_four: SandboxRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = rolled_by_four.copied(str(tmp_path / "every" / "run"))
    every.step("judging", 1)
    bracket = every.copied(str(tmp_path / "bracket" / "run")).changed(method=method(every, comparisons="bracket"))
    bracket.step("judging", 1)
    again = every.copied(str(tmp_path / "again" / "run")).changed(method=method(every, comparisons="bracket"))
    oracle = TableOracle(first_shown)
    monkeypatch.setattr(oracle, "judge", recorded(every))
    monkeypatch.setattr(SandboxOracle, "load", lambda *_: oracle)
    again.step("judging", 1)
    for kind in ("pairs", "comparisons"):
        assert again.content(kind, 1) == bracket.content(kind, 1)


def test_a_cheap_oracle_seeds_the_brackets(rolled_by_four: SandboxRun, tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(RULES)
    rules = f"{tmp_path / 'rules.py'}:alphabet"
    changes = {"method": method(rolled_by_four, comparisons="seeded"), "judging__seeding": {"kind": "rules"}}
    changes["judging__seeding"]["function"] = rules
    run = rolled_by_four.copied(str(tmp_path / "seeded" / "run")).changed(**changes)
    metrics = run.step("judging", 1).metrics
    assert metrics["comparisons"] == 24 * 5
    texts = {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", 1)}
    rows = run.content("comparisons", 1)
    for row_id in range(24):
        order = sorted(range(4), key=lambda sample: (texts[row_id, sample], sample))  # earlier in the alphabet wins
        met = [(row["first"], row["second"]) for row in rows if row["row_id"] == row_id][:2]
        assert [[texts[row_id, side] for side in match] for match in met] == [
            [texts[row_id, order[rank]] for rank in ranks] for ranks in ((0, 3), (1, 2))
        ]
    assert run.step("judging", 1).skipped
    (tmp_path / "rules.py").write_text(RULES.replace("0.75", "0.8"))
    assert not run.step("judging", 1).skipped
