"""Labels of pairs: against each other, against others, with a margin, or given with the data."""

from collections import Counter

import pytest

from nashflow.components.methods.phases import Comparisons, Labels
from nashflow.components.oracles.referee import COUNTS, Rules
from nashflow.components.oracles.rounds import Judged, judge
from tests.fixtures.table_oracle import Preference, judged, prompt


def preferring(**wins: float) -> Preference:
    """P(first ≻ second) by the two letters, in the order of the alphabet."""
    return lambda first, second: wins[first + second]


def labelled(result: Judged) -> list[tuple[int, int, float, float]]:
    return [(row["chosen"], row["rejected"], row["chosen_label"], row["rejected_label"]) for row in result.pairs]


def test_win_rates_by_hand() -> None:
    """Among a, b, c, d each label is the mean over all four, oneself at 0."""
    wins = preferring(ab=0.6, ac=0.7, ad=0.9, bc=0.8, bd=0.5, cd=0.4)
    result = judged([prompt(0, *"abcd")], wins, "win_rates", "soft")
    rate = {"a": (0.2 + 0.4 + 0.8) / 4, "b": (-0.2 + 0.6 + 0.0) / 4, "c": (-0.4 - 0.6 - 0.2) / 4, "d": (-0.8 + 0.2) / 4}
    assert labelled(result) == [
        pytest.approx((0, 1, rate["a"], rate["b"])),
        pytest.approx((3, 2, rate["d"], rate["c"])),
    ]
    assert [row["probability"] for row in result.pairs] == pytest.approx(
        [0.5 + (rate["a"] - rate["b"]) / 4, 0.5 + (rate["d"] - rate["c"]) / 4]
    )
    assert (result.counts["comparisons"], result.counts["oracle_calls"]) == (6, 6)


def test_extremes_by_hand() -> None:
    """Among a, b, c, d the best is a, at 1.4 in sum, and the worst c, at -1.6; both are measured against all four."""
    wins = preferring(ab=0.6, ac=0.7, ad=0.9, bc=0.8, bd=0.5, cd=0.2)
    result = judged([prompt(0, *"abcd")], wins, "extremes", "soft")
    worst = (-0.4 - 0.6 - 0.6) / 4
    assert labelled(result) == [pytest.approx((0, 2, (0.2 + 0.4 + 0.8) / 4, worst))]
    assert (result.counts["comparisons"], result.counts["oracle_calls"]) == (6, 6)


def test_an_opponents_word_by_hand() -> None:
    """c is the opponent: a wins against it with 0.6, b with 0.8, and nobody asks about a and b."""
    result = judged([prompt(0, *"abc")], preferring(ac=0.6, bc=0.8), "versus_opponent", "soft")
    assert labelled(result) == [pytest.approx((1, 0, 0.6, 0.2))]
    assert result.pairs[0]["probability"] == pytest.approx(0.6)
    assert [(row["first"], row["second"]) for row in result.comparisons] == [(0, 2), (1, 2)]


def test_coins_against_an_opponent_fall_for_each_side() -> None:
    """Both sides may win or lose: four outcomes, and labels of one sign make a pair too."""
    prompts = [prompt(row_id, *"abc") for row_id in range(400)]
    result = judged(prompts, preferring(ac=0.5, bc=0.5), "versus_opponent", "sampled")
    seen = Counter(labels[2:] for labels in labelled(result))
    assert set(seen) == {(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)}
    assert seen[1.0, -1.0] == pytest.approx(200, abs=50)


def test_copies_of_one_text_are_equal_against_others() -> None:
    result = judged([prompt(0, *"aab")], preferring(ab=0.9), "versus_opponent", "soft")
    assert labelled(result) == [pytest.approx((0, 1, 0.8, 0.8))]
    assert result.counts["oracle_calls"] == 1


def test_max_min_is_labelled_by_its_own_comparison() -> None:
    """a has the best mean and c the worst, and between themselves a wins with 0.55."""
    wins = preferring(ab=0.9, ac=0.55, bc=0.9)
    soft, binary = (judged([prompt(0, *"bac")], wins, "max_min", labels) for labels in ("soft", "binary"))
    assert labelled(soft) == [pytest.approx((1, 2, 0.1, -0.1))]
    assert labelled(binary) == [(1, 2, 1.0, -1.0)]


@pytest.mark.parametrize(
    ("comparisons", "kept", "dropped"),
    [("iid", [(0, 1)], 1), ("all_pairs", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)], 1), ("bracket", [(0, 3)], 0)],
)
def test_a_margin_keeps_pairs_that_the_oracle_is_sure_of(
    comparisons: Comparisons, kept: list[tuple[int, int]], dropped: int
) -> None:
    """|2p − 1| of at least 1/2: 0.75 just does, 0.25 too, 0.7 does not."""
    wins = preferring(ab=0.75, ac=0.9, ad=0.9, bc=0.9, bd=0.9, cd=0.7)
    result = judged([prompt(0, *"abcd")], wins, comparisons, margin=0.5)
    assert [(row["chosen"], row["rejected"]) for row in result.pairs] == kept
    assert result.counts["dropped_margin"] == dropped


def test_a_margin_reads_the_probability_and_not_the_coin() -> None:
    prompts = [prompt(row_id, "a", "b") for row_id in range(50)]
    assert judged(prompts, lambda *_: 0.7, labels="sampled", margin=0.5).counts["dropped_margin"] == 50
    kept = judged(prompts, lambda *_: 0.2, labels="sampled", margin=0.5).pairs
    assert {row["chosen"] for row in kept} == {0, 1}, "who loses although it is better is still chosen"


def test_a_margin_of_win_rates_is_that_of_their_difference() -> None:
    """Against c: 0.9 and 0.5, so 1/2 and half of 0.4."""
    for margin, pairs in ((0.39, 1), (0.41, 0)):
        result = judged([prompt(0, *"abc")], preferring(ac=0.9, bc=0.5), "versus_opponent", "soft", margin=margin)
        assert (result.counts["pairs"], result.counts["dropped_margin"]) == (pairs, 1 - pairs)


@pytest.mark.parametrize("labels", ["binary", "sampled", "soft"])
def test_given_pairs_need_no_oracle(labels: Labels) -> None:
    prompts = [prompt(0, "b", "a"), prompt(1, "a", "b", "d", "c")]
    result = judge(prompts, "given", Rules(labels, 0, True), None)
    assert [(row["row_id"], row["chosen"], row["rejected"]) for row in result.pairs] == [
        (0, 0, 1),
        (1, 0, 1),
        (1, 2, 3),
    ]
    assert {(row["probability"], row["chosen_label"], row["rejected_label"]) for row in result.pairs} == {
        (1.0, 1.0, -1.0)
    }
    assert result.comparisons == []
    assert result.counts == {**dict.fromkeys(COUNTS, 0), "pairs": 3}


@pytest.mark.parametrize("drop", [True, False])
def test_a_given_pair_of_one_text_is_dropped_like_any_other(drop: bool) -> None:
    result = judge([prompt(0, "a", "a")], "given", Rules("binary", 0, drop), None)
    assert (result.counts["pairs"], result.counts["dropped_identical"]) == (1 - drop, int(drop))
