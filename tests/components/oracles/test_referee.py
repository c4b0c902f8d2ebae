"""The referee, with an oracle that reads a table and remembers what it was asked."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import log2
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.methods.phases import Comparisons, Labels
from nashflow.components.oracles.base import Verdict
from nashflow.components.oracles.referee import COUNTS, PromptSamples, Rules
from nashflow.components.oracles.rounds import Judged, judge
from nashflow.components.storage import records
from tests.fixtures.table_oracle import TableOracle, judged, prompt, score_of


def alphabetical(first: str, second: str) -> float:
    """Earlier in the alphabet is better; texts are always asked about in their order."""
    return 0.8


TEXTS = ("", "a", "b", "c", "d")
PAIRS_OF_TEXTS = [(first, second) for first in TEXTS for second in TEXTS if first < second]


class Case(NamedTuple):
    """Some prompts with few texts among many samples, so that pairs meet again, and any preferences among the texts."""

    prompts: list[PromptSamples]
    table: dict[tuple[str, str], float | None]
    comparisons: Comparisons
    rules: Rules

    def preference(self, first: str, second: str) -> float | None:
        return self.table[first, second]

    def probability(self, first: str, second: str) -> float:
        """P(first ≻ second), 1/2 for one text and where the oracle abstains."""
        low, high = sorted((first, second))
        known = 0.5 if low == high else self.table[low, high]
        known = 0.5 if known is None else known
        return known if first <= second else 1 - known

    def texts(self, row: dict[str, Any]) -> tuple[str, str]:
        """The chosen and the rejected text of a pair."""
        samples = self.prompts[row["row_id"]].samples
        return samples[row["chosen"]].text, samples[row["rejected"]].text

    def same(self, row_id: int, sample: int, other: int) -> bool:
        """Whether the texts of two samples are one."""
        samples = self.prompts[row_id].samples
        return samples[sample].text == samples[other].text

    def abstains(self, row_id: int, sample: int, other: int) -> bool:
        """Whether the oracle abstains on two samples."""
        samples = self.prompts[row_id].samples
        texts = sorted((samples[sample].text, samples[other].text))
        return not self.same(row_id, sample, other) and self.preference(*texts) is None

    def judged(self, prompts: Sequence[PromptSamples] | None = None) -> Judged:
        chosen = self.prompts if prompts is None else prompts
        return judge(chosen, self.comparisons, self.rules, TableOracle(self.preference))


MATCHES: dict[Comparisons, Callable[[int], int]] = {
    "bracket": lambda count: 3 * count // 2 - 1,
    "iid": lambda count: count // 2,
    "all_pairs": lambda count: count * (count - 1) // 2,
    "win_rates": lambda count: count * (count - 1) // 2,
    "extremes": lambda count: count * (count - 1) // 2,
    "max_min": lambda count: count * (count - 1) // 2,
    "versus_opponent": lambda count: count - 1,
}
"""Comparisons of so many samples, an opponent among them."""
CANDIDATES: dict[Comparisons, Callable[[int], int]] = {
    "bracket": lambda count: 1,
    "iid": lambda count: count // 2,
    "all_pairs": lambda count: count * (count - 1) // 2,
    "win_rates": lambda count: count // 2,
    "extremes": lambda count: 1,
    "max_min": lambda count: 1,
    "versus_opponent": lambda count: (count - 1) // 2,
}
APART: tuple[Comparisons, ...] = ("win_rates", "extremes", "versus_opponent")
"""Where each side of a pair has a label of its own."""


@st.composite
def cases(draw: st.DrawFn, among: Sequence[Comparisons] = tuple(MATCHES)) -> Case:
    comparisons = draw(st.sampled_from(among))
    count = draw(st.sampled_from((2, 4, 8))) + (comparisons == "versus_opponent")
    texts = st.lists(st.sampled_from(TEXTS), min_size=count, max_size=count)
    return Case(
        prompts=[prompt(row_id, *draw(texts)) for row_id in range(draw(st.integers(1, 4)))],
        table={pair: draw(st.sampled_from((0.1, 0.4, 0.5, 0.6, 0.7, None))) for pair in PAIRS_OF_TEXTS},
        comparisons=comparisons,
        rules=Rules(
            draw(st.sampled_from(("binary", "sampled", "soft", "score"))),
            0,
            draw(st.booleans()),
            draw(st.sampled_from((0, 0.3))),
        ),
    )


properties = settings(deadline=None, max_examples=80)


@properties
@given(cases())
def test_what_is_counted_is_what_the_rows_say(case: Case) -> None:
    prompts, _, comparisons, rules = case
    oracle = TableOracle(case.preference)
    result = judge(prompts, comparisons, rules, oracle)
    count = len(prompts[0].samples)
    counts = result.counts
    assert set(counts) == set(COUNTS)
    assert counts["comparisons"] == len(result.comparisons)
    assert counts["comparisons"] == len(prompts) * MATCHES[comparisons](count)
    assert counts["oracle_calls"] == len(oracle.asked) == sum(not row["repeated"] for row in result.comparisons)
    assert counts["abstentions"] == sum(row["abstained"] and not row["repeated"] for row in result.comparisons)
    candidates = len(prompts) * CANDIDATES[comparisons](count)
    dropped = sum(number for name, number in counts.items() if name.startswith("dropped"))
    assert counts["pairs"] == len(result.pairs) == candidates - dropped


@properties
@given(cases())
def test_a_pair_of_texts_is_asked_about_once_and_always_judged_alike(case: Case) -> None:
    prompts, _, comparisons, rules = case
    oracle = TableOracle(case.preference)
    result = judge(prompts, comparisons, rules, oracle)
    assert len(set(oracle.asked)) == len(oracle.asked)
    assert all(first < second for _, first, second in oracle.asked)
    met: dict[tuple[int, frozenset[str]], dict[str, float | str | bool]] = {}
    for row in result.comparisons:
        first, second = (prompts[row["row_id"]].samples[row[side]].text for side in ("first", "second"))
        key = (row["row_id"], frozenset((first, second)))
        low_first = first <= second
        winner = prompts[row["row_id"]].samples[row["winner"]].text
        tie = row["probability"] == 0.5 and (rules.labels != "sampled" or row["abstained"])
        seen = {
            "forward": row["forward"] if low_first else 1 - row["backward"],
            "backward": row["backward"] if low_first else 1 - row["forward"],
            "probability": row["probability"] if low_first else 1 - row["probability"],
            "winner": winner if not tie else "the first",
        }
        assert met.setdefault(key, seen) == seen
        assert not tie or row["winner"] == row["first"]
        if first != second:
            expected = case.preference(*sorted((first, second)))
            assert seen["probability"] == pytest.approx(0.5 if expected is None else expected, abs=1e-15)


@properties
@given(cases())
def test_rows_fit_their_schemas_and_are_in_order(case: Case) -> None:
    result = case.judged()
    comparison_rows = records.table(result.comparisons, records.COMPARISONS)
    pair_rows = records.table(result.pairs, records.PAIRS)
    records.to_bytes(comparison_rows, records.COMPARISONS, "comparisons")
    records.to_bytes(pair_rows, records.PAIRS, "pairs")
    for rows, number in ((result.comparisons, "index"), (result.pairs, "pair")):
        assert [row["row_id"] for row in rows] == sorted(row["row_id"] for row in rows)
        per_prompt = Counter(row["row_id"] for row in rows)
        assert [row[number] for row in rows] == [n for _, count in sorted(per_prompt.items()) for n in range(count)]
    for row in result.pairs:
        assert row["prompt_ids"] == [7, row["row_id"]]
        assert row["chosen_ids"] == [row["row_id"], 100 + row["chosen"]]
        assert row["rejected_ids"] == [row["row_id"], 100 + row["rejected"]]


@properties
@given(cases())
def test_prompts_are_judged_together_as_they_are_alone(case: Case) -> None:
    together = case.judged()
    alone = [case.judged([one]) for one in reversed(case.prompts)][::-1]
    assert together.comparisons == [row for result in alone for row in result.comparisons]
    assert together.pairs == [row for result in alone for row in result.pairs]
    assert together.counts == {name: sum(result.counts[name] for result in alone) for name in COUNTS}


@properties
@given(cases([comparisons for comparisons in MATCHES if comparisons not in APART]))
def test_a_pair_judged_by_itself_has_one_verdict_and_opposite_labels(case: Case) -> None:
    for row in case.judged().pairs:
        chosen, rejected = case.texts(row)
        labels = case.rules.labels
        assert row["rejected_label"] == -row["chosen_label"]
        said = {"soft": 2 * row["probability"] - 1, "score": score_of(row["probability"])}.get(labels, 1.0)
        assert row["chosen_label"] == pytest.approx(said, abs=1e-15)
        assert row["probability"] == pytest.approx(case.probability(chosen, rejected), abs=1e-15)
        assert abs(2 * row["probability"] - 1) >= case.rules.margin
        if chosen == rejected:
            assert not case.rules.drop_identical
            assert case.comparisons in ("iid", "all_pairs", "max_min")
        else:
            assert case.preference(*sorted((chosen, rejected))) is not None, "no pair comes of an abstention"
        if labels != "sampled" and case.comparisons in ("iid", "all_pairs"):
            assert row["probability"] >= 0.5
        if labels != "sampled" and case.comparisons == "bracket":
            assert row["probability"] > 0.5


@properties
@given(cases(APART))
def test_sides_measured_against_others_have_their_mean_label_and_win_rate(case: Case) -> None:
    """The win rate against oneself is 1/2, and the label 0. Comparisons on which the oracle abstained do not count."""
    result = case.judged()
    winners = {(row["row_id"], frozenset((row["first"], row["second"]))): row["winner"] for row in result.comparisons}

    def label(row_id: int, side: int, other: int) -> float:
        texts = [case.prompts[row_id].samples[sample].text for sample in (side, other)]
        probability = case.probability(*texts)
        if case.rules.labels == "soft":
            return 2 * probability - 1
        if case.rules.labels == "score":
            return score_of(probability)
        if case.rules.labels == "binary":
            return float(np.sign(probability - 0.5))
        if texts[0] == texts[1]:
            return 0.0
        return 1.0 if winners[row_id, frozenset((side, other))] == side else -1.0

    for row in result.pairs:
        row_id, count = row["row_id"], len(case.prompts[0].samples)
        everybody = range(count) if case.comparisons in ("win_rates", "extremes") else [count - 1]
        rates, whole = [], True
        for side in ("chosen", "rejected"):
            others = [other for other in everybody if not case.abstains(row_id, row[side], other)]
            whole = whole and len(others) == len(everybody)
            different = [other for other in others if not case.same(row_id, row[side], other)]
            assert different or len(others) == len(everybody), "no label comes of abstentions alone"
            assert row[f"{side}_label"] == pytest.approx(
                np.mean([label(row_id, row[side], other) for other in others]), abs=1e-12
            )
            texts = [
                (case.texts(row)[side == "rejected"], case.prompts[row_id].samples[other].text) for other in others
            ]
            rates.append(np.mean([case.probability(*pair) for pair in texts]))
        assert row["probability"] == pytest.approx(0.5 + (rates[0] - rates[1]) / 2, abs=1e-12)
        assert row["chosen_label"] >= row["rejected_label"] - 1e-12 or not whole
        assert abs(2 * row["probability"] - 1) >= case.rules.margin


def test_the_oracle_sees_whole_rounds_of_all_prompts() -> None:
    oracle = TableOracle(alphabetical)
    prompts = [prompt(row_id, *"hgfedcba") for row_id in range(5)]
    judge(prompts, "bracket", Rules("binary", 0, True), oracle)
    assert [len(batch) for batch in oracle.batches] == [20, 20, 10, 5]
    assert len(oracle.batches) == log2(8) + 1


def test_a_bracket_of_ranked_texts() -> None:
    result = judged([prompt(0, *"cahbgdfe")], alphabetical, "bracket")
    assert [(row["first"], row["second"], row["winner"]) for row in result.comparisons] == [
        *[(0, 1, 1), (2, 3, 3), (4, 5, 5), (6, 7, 7)],
        *[(1, 3, 1), (5, 7, 5), (0, 2, 0), (4, 6, 6)],
        *[(1, 5, 1), (2, 4, 4)],
        (1, 2, 1),
    ]
    assert [(row["chosen"], row["rejected"]) for row in result.pairs] == [(1, 2)]
    assert result.counts["oracle_calls"] == result.counts["comparisons"] == 11


def test_the_final_check_of_two_samples_is_no_second_call() -> None:
    result = judged([prompt(0, "b", "a")], alphabetical, "bracket")
    assert [row["repeated"] for row in result.comparisons] == [False, True]
    assert [(row["first"], row["second"]) for row in result.comparisons] == [(0, 1), (1, 0)]
    assert (result.counts["comparisons"], result.counts["oracle_calls"]) == (2, 1)


def test_both_sights_of_a_comparison_are_recorded_as_its_order_has_it() -> None:
    in_order, reversed_ = judged([prompt(0, "a", "b"), prompt(1, "b", "a")], alphabetical).comparisons
    assert (in_order["forward"], in_order["backward"]) == pytest.approx((0.9, 0.7))
    assert (reversed_["forward"], reversed_["backward"]) == pytest.approx((0.3, 0.1))
    assert in_order["probability"] == 1 - reversed_["probability"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("labels", "comparisons", "drop_identical", "preference", "texts", "kept", "reason"),
    [
        ("binary", "iid", True, 0.5, "ab", 1, None),
        ("soft", "iid", True, 0.5, "ab", 1, None),
        ("binary", "bracket", True, 0.5, "abcd", 0, "dropped_tie"),
        ("binary", "iid", True, 0.6, "aa", 0, "dropped_identical"),
        ("binary", "iid", False, 0.6, "aa", 1, None),
        ("sampled", "iid", False, 0.6, "aa", 1, None),
        ("soft", "iid", False, 0.6, "aa", 1, None),
        ("binary", "bracket", False, 0.6, "aaaa", 0, "dropped_identical"),
        ("binary", "iid", True, None, "ab", 0, "dropped_abstained"),
        ("sampled", "iid", False, None, "ab", 0, "dropped_abstained"),
        ("binary", "bracket", True, None, "abcd", 0, "dropped_abstained"),
        ("binary", "max_min", True, 0.5, "abcd", 0, "dropped_tie"),
        ("binary", "max_min", True, 0.5, "aaaa", 0, "dropped_identical"),
        ("soft", "win_rates", True, 0.5, "aa", 1, None),
        ("soft", "win_rates", True, None, "ab", 0, "dropped_abstained"),
        ("soft", "versus_opponent", True, 0.5, "aab", 1, None),
        ("soft", "win_rates", True, None, "aa", 1, None),
        ("soft", "versus_opponent", True, None, "abc", 0, "dropped_abstained"),
    ],
)
def test_what_becomes_of_a_pair_without_a_winner(
    labels: Labels,
    comparisons: Comparisons,
    drop_identical: bool,
    preference: float | None,
    texts: str,
    kept: int,
    reason: str | None,
) -> None:
    result = judged([prompt(0, *texts)], lambda *_: preference, comparisons, labels, drop_identical=drop_identical)
    assert len(result.pairs) == kept
    assert {name: n for name, n in result.counts.items() if n and "dropped" in name} == ({reason: 1} if reason else {})
    assert [(row["chosen"], row["rejected"]) for row in result.pairs] == [(0, 1)] * kept, "the first wins a tie"


def test_a_best_that_loses_to_the_worst_makes_no_pair() -> None:
    """a > b, c > d, a > c, b > d make a best and d worst, but d > a."""
    wins = {("a", "b"), ("c", "d"), ("a", "c"), ("b", "d")}
    result = judged([prompt(0, *"abcd")], lambda *pair: 0.9 if pair in wins else 0.1, "bracket")
    assert result.pairs == []
    assert result.counts["dropped_lost"] == 1


def test_an_abstention_on_the_way_is_a_tie() -> None:
    """b and a: nobody can say, so b, the first, goes on, and is best although the oracle would have a above all."""
    result = judged([prompt(0, *"bacd")], lambda *pair: None if pair == ("a", "b") else 0.9, "bracket")
    assert [(row["chosen"], row["rejected"]) for row in result.pairs] == [(0, 3)]
    assert result.counts["abstentions"] == 1


def test_one_text_against_itself_is_no_call_and_a_repeat() -> None:
    oracle = TableOracle(alphabetical)
    result = judge([prompt(0, "a", "a")], "iid", Rules("binary", 0, True), oracle)
    (row,) = result.comparisons
    assert (row["forward"], row["backward"], row["probability"], row["repeated"]) == (0.5, 0.5, 0.5, True)
    assert oracle.asked == []


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_sampled_labels_have_the_oracles_frequency(probability: float) -> None:
    """4,000 coins: within five standard errors; certainty is certain. Half of the prompts ask in the other order."""
    prompts = [prompt(row_id, *("ab" if row_id % 2 else "ba")) for row_id in range(4_000)]
    result = judged(prompts, lambda *_: probability, labels="sampled")
    chosen = [prompts[row["row_id"]].samples[row["chosen"]].text for row in result.pairs]
    error = (probability * (1 - probability) / 4_000) ** 0.5
    assert len(chosen) == 4_000
    assert abs(np.mean([text == "a" for text in chosen]) - probability) <= 5 * error


def test_a_coin_depends_on_seed_prompt_and_texts_but_not_on_the_order() -> None:
    def winners(seed: int, row_ids: range, low: str = "a", high: str = "b", swap: bool = False) -> list[bool]:
        prompts = [prompt(row_id, *((high, low) if swap else (low, high))) for row_id in row_ids]
        rows = judged(prompts, lambda *_: 0.5, labels="sampled", seed=seed).pairs
        return [prompts[index].samples[row["chosen"]].text == low for index, row in enumerate(rows)]

    coins = winners(1, range(64))
    assert winners(1, range(64), swap=True) == coins
    assert winners(1, range(32, 64)) == coins[32:]
    others = [winners(2, range(64)), winners(1, range(64, 128)), winners(1, range(64), high="c")]
    for other in others:
        assert 12 <= sum(first == second for first, second in zip(coins, other, strict=True)) <= 52, "no relation"


def test_soft_labels_have_the_sampled_ones_mean() -> None:
    """E z (chosen - rejected) is the same vector for both: here its component along "a"."""
    prompts = [prompt(row_id, "a", "b") for row_id in range(4_000)]

    def component(labels: Labels) -> float:
        rows = judged(prompts, lambda *_: 0.7, labels=labels).pairs
        return float(np.mean([row["chosen_label"] * (1 if row["chosen"] == 0 else -1) for row in rows]))

    assert component("soft") == pytest.approx(0.4)
    assert component("sampled") == pytest.approx(0.4, abs=5 * (1 - 0.4**2) ** 0.5 / 4_000**0.5)
    assert component("binary") == 1.0


def test_truncated_verdicts_are_counted_once_a_pair() -> None:
    class Cutting(TableOracle):
        def _verdict(self, probability: float | None) -> Verdict:
            return Verdict.of(0.7, 0.7, truncated=True)

    counts = judge([prompt(0, *"abcd")], "bracket", Rules("binary", 0, True), Cutting(alphabetical)).counts
    assert counts["truncated"] == counts["oracle_calls"] == 5


def test_no_prompts_are_no_rows() -> None:
    assert judged([], alphabetical) == Judged([], [], dict.fromkeys(COUNTS, 0))
