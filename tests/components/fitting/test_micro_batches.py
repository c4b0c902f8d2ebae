"""How pairs are dealt to ranks and passes: all of them once, within the budget, evenly."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.fitting.micro_batches import micro_batches

TOKENS = st.lists(st.integers(1, 50), min_size=1, max_size=40)
RANKS, PADDED = st.integers(1, 5), st.booleans()


@given(tokens=TOKENS, spare=st.integers(0, 200), ranks=RANKS, padded=PADDED)
def test_every_pair_is_in_one_pass_within_the_budget(tokens: list[int], spare: int, ranks: int, padded: bool) -> None:
    budget = max(tokens) + spare
    made = micro_batches(tokens, budget, ranks, padded)
    assert made == micro_batches(list(tokens), budget, ranks, padded)
    assert (len(made), len({len(passes) for passes in made})) == (ranks, 1)
    passes = list(chain.from_iterable(made))
    assert sorted(chain.from_iterable(passes)) == list(range(len(tokens)))
    assert all(each == sorted(each) for each in passes)
    for each in filter(None, passes):
        mine = [tokens[place] for place in each]
        assert (len(mine) * max(mine) if padded else sum(mine)) <= budget


@given(tokens=TOKENS, ranks=RANKS)
def test_passes_are_even_but_for_one_pair(tokens: list[int], ranks: int) -> None:
    """No pass is above the mean by more than one pair."""
    made = micro_batches(tokens, max(*tokens, 60), ranks)
    sizes = [sum(tokens[place] for place in each) for passes in made for each in passes]
    assert max(sizes) <= sum(sizes) / len(sizes) + max(tokens)


@pytest.mark.parametrize(
    ("tokens", "budget", "ranks", "padded", "expected"),
    [
        ([5, 5, 5], 15, 1, False, [[[0, 1, 2]]]),
        ([5, 5, 5], 14, 1, False, [[[0, 1], [2]]]),
        ([1, 9, 2, 8, 3, 7], 16, 1, False, [[[0, 1, 2, 4], [3, 5]]]),
        ([1, 9, 2, 8, 3, 7], 30, 2, False, [[[0, 1, 2, 4]], [[3, 5]]]),
        ([1, 9, 1, 1], 12, 1, False, [[[0, 1, 2, 3]]]),
        ([1, 9, 1, 1], 12, 1, True, [[[1], [0, 2, 3]]]),
        ([4, 4, 4, 4], 8, 2, False, [[[0, 1]], [[2, 3]]]),
        ([4, 4], 8, 3, False, [[[0]], [[1]], [[]]]),
        ([4, 4, 4], 4, 2, False, [[[0], [2]], [[1], []]]),
    ],
)
def test_passes_are_as_few_as_can_be(
    tokens: list[int], budget: int, ranks: int, padded: bool, expected: list[list[list[int]]]
) -> None:
    assert micro_batches(tokens, budget, ranks, padded) == expected


def test_a_pair_above_the_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="a pair has 9 tokens, more than the budget of 8"):
        micro_batches([3, 9], 8)
