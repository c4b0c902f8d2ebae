"""Seeded brackets: who meets whom, that nobody is lost, and how a cheap oracle ranks."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.methods.tournament import Candidate, Match, Tournament, seeded
from nashflow.components.oracles.seeding import seeds_of
from tests.fixtures.runs import recipe
from tests.fixtures.table_oracle import TableOracle, prompt

RULES = {"kind": "rules", "function": "difflib:get_close_matches"}


def played(tournament: Tournament, ranks: Sequence[int]) -> tuple[list[list[Match]], list[Candidate]]:
    """The rounds, the lower rank winning every match, and the candidates."""
    rounds = [next(tournament)]
    while True:
        try:
            outcomes = [1.0 if ranks[first] < ranks[second] else -1.0 for first, second in rounds[-1]]
            rounds.append(tournament.send(outcomes))
        except StopIteration as stop:
            return rounds, stop.value


def test_the_first_seed_meets_the_last() -> None:
    rounds, candidates = played(seeded(8), range(8))
    assert rounds == [
        [(0, 7), (3, 4), (1, 6), (2, 5)],
        [(0, 3), (1, 2), (7, 4), (6, 5)],
        [(0, 1), (7, 6)],
        [(0, 7)],
    ]
    assert candidates == [Candidate(0, 7, True)]


powers = st.integers(1, 5).map(lambda exponent: 2**exponent)


@given(powers.flatmap(lambda count: st.tuples(st.permutations(range(count)), st.permutations(range(count)))))
def test_however_it_is_seeded_an_order_gives_its_best_and_its_worst(orders: tuple[list[int], list[int]]) -> None:
    seeds, ranks = orders
    rounds, (candidate,) = played(seeded(len(seeds), seeds), ranks)
    assert (ranks[candidate.chosen], ranks[candidate.rejected]) == (0, len(seeds) - 1)
    assert candidate.stands
    assert sum(map(len, rounds)) == 3 * len(seeds) // 2 - 1
    assert sorted(sample for match in rounds[0] for sample in match) == list(range(len(seeds)))


@given(powers.filter(lambda count: count > 2).flatmap(lambda count: st.permutations(range(count))))
def test_the_best_seeds_meet_last_and_so_do_the_worst(seeds: list[int]) -> None:
    ranks = [seeds.index(sample) for sample in range(len(seeds))]
    rounds, _ = played(seeded(len(seeds), seeds), ranks)
    assert rounds[-2] == [(seeds[0], seeds[1]), (seeds[-1], seeds[-2])]


def test_no_other_number_than_a_power_of_two_has_a_bracket() -> None:
    with pytest.raises(ValueError, match="a bracket of 6 samples: not a power of two"):
        next(seeded(6))


def test_seeds_are_ranked_by_their_mean_preference_in_one_batch() -> None:
    oracle = TableOracle(lambda first, second: {"ab": 0.9, "ac": 0.2, "bc": None}[first + second])
    assert seeds_of([prompt(0, "a", "b", "c"), prompt(1, "b", "b", "a")], oracle) == [[2, 0, 1], [2, 0, 1]]
    assert len(oracle.batches) == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"method.comparisons": "seeded"},
            "method.comparisons is seeded, but nothing ranks the responses: set judging.seeding to a cheap oracle",
        ),
        ({"judging.seeding": RULES}, "judging.seeding is for method.comparisons: seeded alone: set that, or remove"),
        (
            {"method.comparisons": "seeded", "judging.seeding": {"kind": "sandbox", "world": {"seed": 9}}},
            "judging.seeding judges another world than the oracle",
        ),
        ({"method.comparisons": "seeded", "method.samples": 6}, "a bracket needs a power of two"),
    ],
)
def test_seeding_without_brackets_and_brackets_without_seeding_are_refused(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        recipe(changes)
