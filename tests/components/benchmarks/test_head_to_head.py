"""Win rates with their intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.benchmarks.head_to_head import compare
from nashflow.components.benchmarks.intervals import mean_interval
from nashflow.components.oracles.base import ABSTENTION, Oracle, Query, Verdict

PROMPTS = {-1 - index: [{"role": "user", "content": f"question {index}"}] for index in range(40)}


class Longer(Oracle):
    """The longer text wins, the more surely the longer it is."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        chances = (1 / (1 + np.exp((len(query.second) - len(query.first)) / 4)) for query in queries)
        return [Verdict.of(float(chance), float(chance)) for chance in chances]


def rollouts(texts: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Rows of the responses to each prompt."""
    return [
        {"row_id": -1 - index, "sample": sample, "text": text}
        for index, mine in enumerate(texts)
        for sample, text in enumerate(mine)
    ]


def test_the_win_rate_is_the_mean_of_the_prompts_means() -> None:
    ours, theirs = rollouts([["aaaa", "a"], ["aa", "aa"]]), rollouts([["a", "a"], ["aaa", "aa"]])
    figures, rows = compare(Longer(), PROMPTS, ours, theirs)
    chances = [1 / (1 + np.exp(-difference / 4)) for difference in (3, 0, -1, 0)]
    np.testing.assert_allclose([row["probability"] for row in rows], chances)
    assert figures["win_rate"] == pytest.approx(np.mean(chances))
    assert figures["evaluated_prompts"] == 2
    assert (figures["win_rate_low"], figures["win_rate_high"]) == mean_interval(
        [np.mean(chances[:2]), np.mean(chances[2:])]
    )


def test_every_comparison_is_kept() -> None:
    ours, theirs = rollouts([["aaaa", "a"]]), rollouts([["a", "aaa"]])
    _, rows = compare(Longer(), PROMPTS, ours, theirs, "longer-0")
    assert [(row["row_id"], row["index"], row["first"], row["second"], row["oracle"]) for row in rows] == [
        (-1, 0, 0, 0, "longer-0"),
        (-1, 1, 1, 1, "longer-0"),
    ]
    assert not any(row["abstained"] for row in rows)


@given(st.lists(st.lists(st.text("a", max_size=9), min_size=2, max_size=2), min_size=1, max_size=12))
def test_exchanging_sides_exchanges_the_win_rate(texts: list[list[str]]) -> None:
    ours, theirs = rollouts([mine[:1] for mine in texts]), rollouts([mine[1:] for mine in texts])
    one, _ = compare(Longer(), PROMPTS, ours, theirs)
    other, _ = compare(Longer(), PROMPTS, theirs, ours)
    assert one["win_rate"] + other["win_rate"] == pytest.approx(1)
    assert one["win_rate_low"] == pytest.approx(1 - other["win_rate_high"])


def test_a_policy_against_its_own_texts_is_even() -> None:
    ours = rollouts([["a"], ["aa"], ["aaa"]])
    assert compare(Longer(), PROMPTS, ours, ours)[0]["win_rate"] == 0.5


def test_responses_to_other_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        compare(Longer(), PROMPTS, rollouts([["a"], ["a"]]), rollouts([["a"]]))


class Choosy(Longer):
    """Abstains on texts of more than four letters."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        judged = zip(queries, super().judge(queries), strict=True)
        return [ABSTENTION if max(len(query.first), len(query.second)) > 4 else verdict for query, verdict in judged]


def test_abstentions_say_nothing_of_the_win_rate() -> None:
    ours, theirs = rollouts([["aaa", "aaaaaa"], ["aaaaa", "a"], ["aaaaaa", "aaaaa"]]), rollouts([["a", "a"]] * 3)
    figures, rows = compare(Choosy(), PROMPTS, ours, theirs)
    assert [row["abstained"] for row in rows] == [False, True, True, False, True, True]
    assert figures["abstentions"] == 4
    assert figures["evaluated_prompts"] == 2
    assert figures["win_rate"] == pytest.approx(np.mean([1 / (1 + np.exp(-0.5)), 0.5]))


def test_there_is_no_win_rate_of_abstentions_alone() -> None:
    ours, theirs = rollouts([["aaaaa"], ["aaaaaa"]]), rollouts([["a"], ["a"]])
    figures, _ = compare(Choosy(), PROMPTS, ours, theirs)
    assert (figures["win_rate"], figures["win_rate_low"], figures["win_rate_high"]) == (None, None, None)
    assert (figures["evaluated_prompts"], figures["abstentions"]) == (0, 2)
