"""What is told of a judge: shares of position, length and abstention, and when they are surely above a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.oracles.base import ABSTENTION, Query, Verdict
from nashflow.components.oracles.conduct import SHARES, conduct_of, shares, surely_above

PROMPT = [{"role": "user", "content": "Which?"}]
LONG, SHORT, OTHER = "aaaa", "b", "c"


def test_each_habit_is_counted() -> None:
    found = {
        "always A": conduct_of([(Query(PROMPT, SHORT, OTHER), Verdict.of(0.9, 0.2))]),
        "always B": conduct_of([(Query(PROMPT, SHORT, OTHER), Verdict.of(0.3, 0.9))]),
        "longer": conduct_of([(Query(PROMPT, SHORT, LONG), Verdict.of(0.2, 0.4))]),
        "shorter": conduct_of([(Query(PROMPT, LONG, SHORT), Verdict.of(0.2, 0.4))]),
        "tie": conduct_of([(Query(PROMPT, LONG, SHORT), Verdict.of(0.5, 0.5))]),
        "none": conduct_of([(Query(PROMPT, LONG, SHORT), ABSTENTION)]),
    }
    assert {name: tuple(counts.values()) for name, counts in found.items()} == {
        "always A": (1, 0, 0),
        "always B": (1, 0, 0),
        "longer": (0, 1, 1),
        "shorter": (0, 1, 0),
        "tie": (0, 0, 0),
        "none": (0, 0, 0),
    }


@given(st.text("ab", max_size=4), st.text("ab", max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_the_order_in_which_is_asked_changes_nothing(first: str, second: str, forward: float, backward: float) -> None:
    query, verdict = Query(PROMPT, first, second), Verdict.of(forward, backward)
    assert conduct_of([(query, verdict)]) == conduct_of([(query.swapped(), verdict.swapped())])


def test_shares_are_of_what_they_can_be_of() -> None:
    counts = {
        "oracle_calls": 10,
        "abstentions": 2,
        "position_decides": 2,
        "of_unequal_length": 4,
        "longer_preferred": 3,
    }
    assert shares(counts) == dict(zip(SHARES, (0.25, 0.75, 0.2), strict=True))
    assert shares({"oracle_calls": 0, "abstentions": 0}) == {}
    assert shares({"oracle_calls": 4, "abstentions": 4, "position_decides": 0}) == {"abstention_share": 1.0}
    assert shares({"oracle_calls": 4, "abstentions": 1}) == {"abstention_share": 0.25}, "of an earlier version"


def test_few_verdicts_are_not_sure() -> None:
    def above(part: int, whole: int, limit: float) -> bool:
        return surely_above({"oracle_calls": whole, "abstentions": part}, "abstention_share", limit)

    assert [above(n, n, 0.5) for n in (0, 1, 9, 10)] == [False, False, False, True]  # n / (n + 9) > 1/2
    assert [above(n, n, 0.95) for n in (170, 172)] == [False, True]
    assert not above(10_000, 10_000, 1.0)
    assert not above(530, 1000, 0.5)
    assert above(560, 1000, 0.5)


@pytest.mark.parametrize("limit", [0.1, 0.5, 0.9])
@given(st.integers(1, 5000), st.data())
def test_what_is_surely_above_is_above(limit: float, whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    counts = {"oracle_calls": whole, "abstentions": part}
    if surely_above(counts, "abstention_share", limit):
        assert part / whole - limit > 3 * (limit * (1 - limit) / whole) ** 0.5 - 1e-9
