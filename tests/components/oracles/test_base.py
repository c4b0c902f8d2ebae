"""What holds for every oracle: antisymmetry, and no more questions than there are pairs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.oracles.base import ABSTENTION, EVEN, Oracle, Query, Verdict

PROMPTS = [[{"role": "user", "content": content}] for content in ("x", "y")]

probabilities = st.floats(0.0, 1.0)
queries = st.builds(Query, st.sampled_from(PROMPTS), *[st.sampled_from(("", "a", "b", "c"))] * 2)


class Given(Oracle):
    """Answers every question with the same two sights, and remembers the questions."""

    def __init__(self, forward: float, backward: float) -> None:
        self.verdict = Verdict.of(forward, backward)
        self.seen: list[Query] = []

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        self.seen.extend(queries)
        return [self.verdict] * len(queries)


@settings(deadline=None)
@given(st.lists(queries, max_size=12), probabilities, probabilities)
def test_the_other_order_has_exactly_the_other_probability(asked: list[Query], forward: float, backward: float) -> None:
    oracle = Given(forward, backward)
    verdicts, swapped = oracle.compare(asked), oracle.compare([query.swapped() for query in asked])
    for one, other in zip(verdicts, swapped, strict=True):
        assert one.probability == 1 - other.probability
        assert other.probability == 1 - one.probability
        assert (one.forward, one.backward) == (1 - other.backward, 1 - other.forward)
        assert one.swapped() == other
        assert other.swapped() == one


@settings(deadline=None)
@given(st.lists(queries, max_size=12))
def test_a_pair_is_judged_once_in_one_order_and_a_text_against_itself_never(asked: list[Query]) -> None:
    oracle = Given(0.75, 0.75)
    verdicts = oracle.compare(asked)
    seen = [(query.messages[0]["content"], query.first, query.second) for query in oracle.seen]
    wanted = {(query.messages[0]["content"], *sorted((query.first, query.second))) for query in asked}
    assert sorted(seen) == sorted(key for key in wanted if key[1] != key[2])
    for query, verdict in zip(asked, verdicts, strict=True):
        expected = 0.5 if query.first == query.second else 0.75 if query.first < query.second else 0.25
        assert verdict.probability == expected


@settings(deadline=None)
@given(probabilities, probabilities)
def test_a_verdict_is_the_mean_of_its_two_sights(forward: float, backward: float) -> None:
    verdict = Verdict.of(forward, backward)
    assert (verdict.forward, verdict.backward) == pytest.approx((forward, backward), abs=2**-53)
    assert verdict.probability == pytest.approx((forward + backward) / 2, abs=2**-53)
    assert 0.0 <= verdict.probability <= 1.0


def test_opposite_sights_are_a_tie_in_either_order() -> None:
    verdict = Verdict.of(0.9, 0.1)
    assert verdict.probability == verdict.swapped().probability == 0.5
    assert (verdict.swapped().forward, verdict.swapped().backward) == pytest.approx((0.9, 0.1))


def test_swapping_keeps_what_the_oracle_says_of_itself() -> None:
    assert ABSTENTION.swapped() == ABSTENTION
    assert EVEN.swapped() == EVEN
    assert Verdict.of(0.7, 0.6, truncated=True).swapped().truncated
    assert replace(EVEN, members=(0.25, 0.75)).swapped().members == (0.75, 0.25)


def test_nothing_asked_is_nothing_judged() -> None:
    class Unasked(Oracle):
        def judge(self, queries: Sequence[Query]) -> list[Verdict]:
            raise AssertionError(queries)

    assert Unasked().compare([]) == []
    assert Unasked().compare([Query(PROMPTS[0], "a", "a")]) == [EVEN]
