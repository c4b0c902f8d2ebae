"""Tournaments, played by preferences that the test holds."""

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.judging.tournament import TOURNAMENTS, Candidate, Match, Tournament, bracket, iid_pairs
from nashflow.components.methods.base import PairedMethod

Signs = list[list[int]]
"""1 where the row's sample beats the column's, -1 where it loses, 0 for a tie; antisymmetric."""

properties = settings(deadline=None)


def played(tournament: Tournament, signs: Signs) -> tuple[list[list[Match]], list[Candidate]]:
    """The rounds and the candidates of a tournament."""
    rounds = [next(tournament)]
    while True:
        try:
            rounds.append(tournament.send([signs[first][second] for first, second in rounds[-1]]))
        except StopIteration as stop:
            return rounds, stop.value


@st.composite
def games(draw: st.DrawFn) -> tuple[int, Signs]:
    """Any preferences among K = 2^m samples: cycles and ties included."""
    count = draw(st.sampled_from((2, 4, 8, 16)))
    upper = np.zeros((count, count), dtype=int)
    size = count * (count - 1) // 2
    upper[np.triu_indices(count, 1)] = draw(st.lists(st.sampled_from((-1, 0, 1)), min_size=size, max_size=size))
    return count, (upper - upper.T).tolist()


def ranked(strengths: Sequence[float]) -> Signs:
    """Preferences of samples of these strengths; ties where they are equal."""
    return [[(one > other) - (one < other) for other in strengths] for one in strengths]


def knock_out(samples: list[int], goes_on: Callable[[int, int], bool]) -> int:
    """The survivor of the two halves' survivors: a knock-out told from its end."""
    if len(samples) == 1:
        return samples[0]
    half = len(samples) // 2
    first, second = knock_out(samples[:half], goes_on), knock_out(samples[half:], goes_on)
    return first if goes_on(first, second) else second


@pytest.mark.parametrize(("count", "comparisons"), [(2, 2), (4, 5), (8, 11), (16, 23), (64, 95)])
def test_a_bracket_makes_as_many_comparisons_as_the_paper_says(count: int, comparisons: int) -> None:
    rounds, _ = played(bracket(count), ranked(range(count)))
    assert sum(map(len, rounds)) == comparisons == 3 * count // 2 - 1


@properties
@given(games())
def test_a_bracket_is_a_knock_out_of_winners_and_one_of_losers(game: tuple[int, Signs]) -> None:
    count, signs = game
    rounds, candidates = played(bracket(count), signs)
    best = knock_out(list(range(count)), lambda first, second: signs[first][second] >= 0)
    worst = knock_out(list(range(count)), lambda first, second: signs[first][second] < 0)
    assert rounds[-1] == [(best, worst)]
    assert candidates == [Candidate(best, worst, signs[best][worst] > 0)]


@properties
@given(games())
def test_the_rounds_of_a_bracket(game: tuple[int, Signs]) -> None:
    count, signs = game
    rounds, _ = played(bracket(count), signs)
    assert [len(matches) for matches in rounds] == [
        count // 2,
        *(count >> halvings for halvings in range(1, count.bit_length() - 1)),
        1,
    ]
    assert rounds[0] == [(sample, sample + 1) for sample in range(0, count, 2)]
    for matches in rounds[:-1]:
        met = [sample for match in matches for sample in match]
        assert len(set(met)) == len(met), "nobody plays twice in a round"
        assert all(first < second for first, second in matches), "in the order of generation"
    for matches in rounds[1:-1]:
        won_first = {sample for sample, other in both_ways(rounds[0]) if beats(signs, sample, other)}
        halves = {frozenset(sample in won_first for sample in match) for match in matches}
        assert halves == {frozenset({True}), frozenset({False})}, "winners meet winners, losers losers"


def both_ways(matches: Sequence[Match]) -> list[Match]:
    return [*matches, *((second, first) for first, second in matches)]


def beats(signs: Signs, sample: int, other: int) -> bool:
    return signs[sample][other] > 0 or (signs[sample][other] == 0 and sample < other)


@properties
@given(games(), st.data())
def test_who_beats_everybody_is_best_and_who_loses_to_everybody_worst(
    game: tuple[int, Signs], data: st.DataObject
) -> None:
    count, signs = game
    winner, loser = data.draw(st.permutations(range(count)))[:2]
    for other in range(count):
        signs[winner][other], signs[other][winner] = 1, -1
    for other in range(count):
        if other != winner:
            signs[loser][other], signs[other][loser] = -1, 1
    _, candidates = played(bracket(count), signs)
    assert candidates == [Candidate(winner, loser, True)]


@properties
@given(st.integers(1, 5).flatmap(lambda m: st.lists(st.integers(0, 5), min_size=2**m, max_size=2**m)))
def test_transitive_preferences_give_the_strongest_and_the_weakest(strengths: list[int]) -> None:
    """With ties: one of the strongest and one of the weakest, and no pair where all are equally strong."""
    _, [(best, worst, stands)] = played(bracket(len(strengths)), ranked(strengths))
    assert strengths[best] == max(strengths)
    assert strengths[worst] == min(strengths)
    assert stands == (min(strengths) < max(strengths))


def test_ties_alone_leave_the_first_sample_best_the_last_worst_and_no_pair() -> None:
    _, candidates = played(bracket(8), [[0] * 8] * 8)
    assert candidates == [Candidate(0, 7, False)]


def test_a_pair_whose_worst_beats_its_best_does_not_stand() -> None:
    """0 beats 1, 2 beats 3, 0 beats 2, 1 beats 3: best 0, worst 3; but 3 beats 0, a cycle."""
    signs = np.zeros((4, 4), dtype=int)
    for winner, loser in [(0, 1), (2, 3), (0, 2), (1, 3), (3, 0)]:
        signs[winner, loser], signs[loser, winner] = 1, -1
    rounds, candidates = played(bracket(4), signs.tolist())
    assert rounds == [[(0, 1), (2, 3)], [(0, 2), (1, 3)], [(0, 3)]]
    assert candidates == [Candidate(0, 3, False)]


def test_two_samples_meet_again_in_their_final_check() -> None:
    rounds, candidates = played(bracket(2), [[0, -1], [1, 0]])
    assert rounds == [[(0, 1)], [(1, 0)]]
    assert candidates == [Candidate(1, 0, True)]


@properties
@given(games())
def test_iid_pairs_are_neighbours_and_their_winner_is_chosen(game: tuple[int, Signs]) -> None:
    count, signs = game
    rounds, candidates = played(iid_pairs(count), signs)
    assert rounds == [[(sample, sample + 1) for sample in range(0, count, 2)]]
    assert [sorted(candidate[:2]) for candidate in candidates] == [list(match) for match in rounds[0]]
    assert all(candidate.stands and beats(signs, candidate.chosen, candidate.rejected) for candidate in candidates)


def test_the_share_of_pairs_that_a_bracket_drops_on_rock_paper_scissors() -> None:
    """Best and worst of eight uniform throws: a pair stands in 35 % of the brackets (six standard errors: 1.8 %)."""
    beaten_by = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
    throws = np.random.default_rng(0).integers(3, size=(25_000, 8))
    stands = [played(bracket(8), beaten_by[np.ix_(throw, throw)].tolist())[1][0].stands for throw in throws]
    assert np.mean(stands) == pytest.approx(0.35, abs=0.018)


@pytest.mark.parametrize("count", [0, 1, 3, 6, 12])
def test_a_bracket_needs_a_power_of_two(count: int) -> None:
    with pytest.raises(ValueError, match=f"bracket of {count}"):
        next(bracket(count))


def test_iid_pairs_need_an_even_number() -> None:
    with pytest.raises(ValueError, match="pairs of 3"):
        next(iid_pairs(3))


def test_every_way_to_compare_that_methods_offer_has_its_tournament() -> None:
    assert set(TOURNAMENTS) == set(get_args(PairedMethod.model_fields["comparisons"].annotation))
