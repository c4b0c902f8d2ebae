"""Tournaments, played by preferences that the test holds."""

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.methods.phases import Comparisons
from nashflow.components.methods.tournament import (
    TOURNAMENTS,
    Candidate,
    Match,
    Tournament,
    all_pairs,
    bracket,
    extremes,
    iid_pairs,
    max_min,
    versus_opponent,
    win_rates,
)
from nashflow.components.methods.tournament import given as given_pairs

Signs = Sequence[Sequence[float]]
"""Positive where the row's sample beats the column's, negative where it loses, 0 for a tie; antisymmetric."""

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


@st.composite
def labels(draw: st.DrawFn, even: bool = True) -> tuple[int, Signs]:
    """Any labels among K samples, ties and certainties included: multiples of 1/8, so that sums are exact."""
    count = draw(st.sampled_from((2, 4, 6, 8) if even else (2, 3, 4, 5, 6, 7)))
    upper, size = np.zeros((count, count)), count * (count - 1) // 2
    upper[np.triu_indices(count, 1)] = draw(st.lists(st.integers(-8, 8), min_size=size, max_size=size))
    return count, ((upper - upper.T) / 8).tolist()


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
    _, [candidate] = played(bracket(len(strengths)), ranked(strengths))
    assert strengths[candidate.chosen] == max(strengths)
    assert strengths[candidate.rejected] == min(strengths)
    assert candidate.stands == (min(strengths) < max(strengths))


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


@pytest.mark.parametrize("tournament", [iid_pairs, win_rates, given_pairs, lambda count: versus_opponent(count + 1)])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_neighbours_need_an_even_number(tournament: Callable[[int], Tournament], count: int) -> None:
    with pytest.raises(ValueError, match=f"^pairs of {count} samples: an odd number$"):
        played(tournament(count), [[0] * 9] * 9)


def test_every_way_to_compare_that_phases_know_has_its_tournament() -> None:
    assert set(TOURNAMENTS) == set(get_args(Comparisons))


# --- everybody meets everybody ---------------------------------------------------------------------------------------


@properties
@given(labels(even=False), st.sampled_from((all_pairs, max_min)))
def test_everybody_meets_everybody_once(game: tuple[int, Signs], tournament: Callable[[int], Tournament]) -> None:
    count, signs = game
    ((*matches,),) = played(tournament(count), signs)[0]
    assert [sorted(match) for match in matches] == [list(match) for match in sorted(matches)]
    assert {frozenset(match) for match in matches} == {
        frozenset((one, other)) for one in range(count) for other in range(one)
    }
    assert len(matches) == count * (count - 1) // 2


@properties
@given(labels(even=False))
def test_all_pairs_chooses_every_winner_and_the_first_of_a_tie(game: tuple[int, Signs]) -> None:
    count, signs = game
    _, candidates = played(all_pairs(count), signs)
    assert len(candidates) == count * (count - 1) // 2
    assert all(beats(signs, candidate.chosen, candidate.rejected) for candidate in candidates)
    assert all(candidate[2:] == (True, (), False) for candidate in candidates), "they stand, judged by each other"


def scores(count: int, signs: Signs) -> list[float]:
    """The sum of each sample's labels: its mean win rate, up to scale."""
    return [sum(signs[sample][other] for other in range(count)) for sample in range(count)]


@properties
@given(labels(even=False))
def test_max_min_is_the_highest_mean_label_against_the_lowest(game: tuple[int, Signs]) -> None:
    count, signs = game
    _, [candidate] = played(max_min(count), signs)
    rates = scores(count, signs)
    assert (rates[candidate.chosen], rates[candidate.rejected]) == (max(rates), min(rates))
    assert candidate.chosen == rates.index(max(rates))
    assert candidate.rejected == count - 1 - rates[::-1].index(min(rates))
    assert candidate.stands == (max(rates) > min(rates))
    assert (candidate.against, candidate.given) == ((), False), "the pair is judged by itself"


def test_a_cycle_has_no_best_and_no_worst() -> None:
    cycle = [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]
    assert played(max_min(3), cycle)[1] == [Candidate(0, 2, False)]


@properties
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=8))
def test_max_min_of_rewards_is_the_highest_reward_against_the_lowest(rewards: list[int]) -> None:
    """Bradley-Terry labels, 2σ(R − R') − 1: a mean win rate is higher where the reward is."""
    signs = np.tanh(np.subtract.outer(rewards, rewards) / 2).tolist()
    _, [candidate] = played(max_min(len(rewards)), signs)
    if max(rewards) > min(rewards):
        assert (rewards[candidate.chosen], rewards[candidate.rejected]) == (max(rewards), min(rewards))


@properties
@given(labels())
def test_win_rates_pair_neighbours_and_measure_both_against_all(game: tuple[int, Signs]) -> None:
    count, signs = game
    rounds, candidates = played(win_rates(count), signs)
    rates = scores(count, signs)
    assert [len(matches) for matches in rounds] == [count * (count - 1) // 2]
    assert [sorted(candidate[:2]) for candidate in candidates] == [[at, at + 1] for at in range(0, count, 2)]
    for candidate in candidates:
        assert (candidate.stands, candidate.against) == (True, tuple(range(count)))
        assert rates[candidate.chosen] >= rates[candidate.rejected]
        assert rates[candidate.chosen] > rates[candidate.rejected] or candidate.chosen < candidate.rejected


@properties
@given(labels())
def test_extremes_are_best_and_worst_measured_against_all(game: tuple[int, Signs]) -> None:
    count, signs = game
    rounds, [candidate] = played(extremes(count), signs)
    rates = scores(count, signs)
    assert [len(matches) for matches in rounds] == [count * (count - 1) // 2]
    assert (rates[candidate.chosen], rates[candidate.rejected]) == (max(rates), min(rates))
    assert (candidate.stands, candidate.against) == (candidate.chosen != candidate.rejected, tuple(range(count)))


# --- others than the samples themselves ------------------------------------------------------------------------------


@properties
@given(labels())
def test_an_opponent_meets_everybody_and_is_in_no_pair(game: tuple[int, Signs]) -> None:
    """All samples but the last are the pairs'; here the last is added, and loses to the better ones."""
    count, signs = game
    against = [row[0] for row in signs]
    table = [[*row, label] for row, label in zip(signs, against, strict=True)] + [[*(-label for label in against), 0.0]]
    rounds, candidates = played(versus_opponent(count + 1), table)
    assert rounds == [[(sample, count) for sample in range(count)]]
    assert [sorted(candidate[:2]) for candidate in candidates] == [[at, at + 1] for at in range(0, count, 2)]
    for candidate in candidates:
        assert (candidate.stands, candidate.against) == (True, (count,))
        assert against[candidate.chosen] >= against[candidate.rejected]
        assert against[candidate.chosen] > against[candidate.rejected] or candidate.chosen < candidate.rejected


@pytest.mark.parametrize("count", [0, 2, 4, 8])
def test_given_pairs_meet_nobody_and_the_first_is_the_better_one(count: int) -> None:
    rounds, candidates = played(given_pairs(count), [])
    assert rounds == [[]]
    assert candidates == [Candidate(at, at + 1, True, (), True) for at in range(0, count, 2)]
