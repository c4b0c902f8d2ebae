"""Tournaments: the matches among the K samples of one prompt, and the resulting pairs.

A tournament is a generator, pure and deterministic. It yields rounds, lists of matches (first, second) of sample
indices; it is sent back each match's outcome, the first's label: positive where the first won, negative where the
second did, 0 for a tie; it returns candidates.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from .phases import Comparisons

Match = tuple[int, int]
Outcome = float


class Candidate(NamedTuple):
    """A pair that a tournament found, and whether its rules let it stand."""

    chosen: int
    rejected: int
    stands: bool
    against: tuple[int, ...] = ()
    """The samples that both sides' labels are measured against; empty: each other."""
    given: bool = False
    """Whether the data themselves say which is better, so that no oracle is asked."""


Tournament = Generator[list[Match], list[Outcome], list[Candidate]]


def bracket(count: int) -> Tournament:
    """Best against worst of `count` = 2^m samples by knock-out (INPO, arXiv 2407.00617, section 4.1).

    Neighbours meet; then winners meet winners and losers meet losers, the loser of each match among losers going on;
    the first wins a tie. At last the best meets the worst, and their pair stands if the best wins strictly.
    3 count / 2 - 1 comparisons.

    Raises:
        ValueError: `count` is not a power of two from 2 on.
    """
    return (yield from _knock_out(range(_power_of_two(count))))


def seeded(count: int, seeds: Sequence[int] | None = None) -> Tournament:
    """A bracket in which the samples that a cheap score ranks highest meet late, and so do those it ranks lowest.

    The first seed meets the last one, and so on: ArenaRL's seeded single elimination (arXiv 2601.06487), with a losers'
    side. `seeds` are the samples, the highest first; None: in their order. 3 count / 2 - 1 comparisons.

    Raises:
        ValueError: `count` is not a power of two from 2 on.
    """
    order = range(count) if seeds is None else seeds
    return (yield from _knock_out([order[place] for place in _places(_power_of_two(count))]))


def _power_of_two(count: int) -> int:
    if count < 2 or count & (count - 1):
        raise ValueError(f"a bracket of {count} samples: not a power of two")
    return count


def _places(count: int) -> list[int]:
    """The ranks from 0 in the order of the bracket: in every round the sums of two neighbours' ranks are equal."""
    places = [0]
    while len(places) < count:
        places = [rank for place in places for rank in (place, 2 * len(places) - 1 - place)]
    return places


def _knock_out(samples: Sequence[int]) -> Tournament:
    """Best against worst, the samples standing in the order of the bracket."""
    high = low = _neighbours(samples)
    outcomes = yield high
    winners, losers = _winners(high, outcomes), _losers(low, outcomes)
    while len(winners) > 1:
        high, low = _neighbours(winners), _neighbours(losers)
        outcomes = yield high + low
        winners, losers = _winners(high, outcomes[: len(high)]), _losers(low, outcomes[len(high) :])
    best, worst = winners[0], losers[0]
    (final,) = yield [(best, worst)]
    return [Candidate(best, worst, final > 0)]


def iid_pairs(count: int) -> Tournament:
    """Samples 0 and 1, 2 and 3, …: one comparison each, the pairs of the theory; the first wins a tie.

    Raises:
        ValueError: `count` is odd.
    """
    matches = _neighbours(range(_even(count)))
    outcomes = yield matches
    winners, losers = _winners(matches, outcomes), _losers(matches, outcomes)
    return [Candidate(winner, loser, True) for winner, loser in zip(winners, losers, strict=True)]


def all_pairs(count: int) -> Tournament:
    """Every sample meets every other one, and each two make a pair; the first wins a tie."""
    matches = list(combinations(range(count), 2))
    outcomes = yield matches
    winners, losers = _winners(matches, outcomes), _losers(matches, outcomes)
    return [Candidate(winner, loser, True) for winner, loser in zip(winners, losers, strict=True)]


def win_rates(count: int) -> Tournament:
    """Every sample meets every other one; neighbours make pairs, either side measured against all (SPPO, eq. 4.3).

    Raises:
        ValueError: `count` is odd.
    """
    everybody = tuple(range(_even(count)))
    matches = list(combinations(everybody, 2))
    scores = _scores(count, matches, (yield matches))
    return [
        Candidate(*((first, second) if scores[first] >= scores[second] else (second, first)), True, everybody)
        for first, second in _neighbours(everybody)
    ]


def extremes(count: int) -> Tournament:
    """Every sample meets every other one; the highest mean win rate makes a pair with the lowest, either side measured
    against all (SPPO's published code). Of equals the first is best and the last worst.
    """
    everybody = tuple(range(count))
    matches = list(combinations(everybody, 2))
    best, worst = _best_and_worst(_scores(count, matches, (yield matches)))
    return [Candidate(best, worst, best != worst, everybody)]


def max_min(count: int) -> Tournament:
    """Every sample meets every other one; the highest mean win rate makes a pair with the lowest; of equals the
    first is best and the last worst.

    Where labels are no coins, a Bradley-Terry oracle makes these the highest and the lowest reward. The pair stands if
    its rates differ.
    """
    matches = list(combinations(range(count), 2))
    scores = _scores(count, matches, (yield matches))
    best, worst = _best_and_worst(scores)
    return [Candidate(best, worst, scores[best] > scores[worst])]


def versus_opponent(count: int) -> Tournament:
    """Every sample meets the last one, the opponent; neighbours among the others make pairs, measured against it.

    Raises:
        ValueError: the number of the others is odd.
    """
    opponent = count - 1
    pairs = _neighbours(range(_even(opponent)))
    outcomes = yield [(sample, opponent) for sample in range(opponent)]
    return [
        Candidate(*((first, second) if outcomes[first] >= outcomes[second] else (second, first)), True, (opponent,))
        for first, second in pairs
    ]


def given(count: int) -> Tournament:
    """No matches: of every two samples, the first is the better one according to the data.

    Raises:
        ValueError: `count` is odd.
    """
    yield []
    return [Candidate(first, second, True, given=True) for first, second in _neighbours(range(_even(count)))]


TOURNAMENTS: Mapping[Comparisons, Callable[[int], Tournament]] = {
    "bracket": bracket,
    "seeded": seeded,
    "iid": iid_pairs,
    "all_pairs": all_pairs,
    "win_rates": win_rates,
    "extremes": extremes,
    "max_min": max_min,
    "versus_opponent": versus_opponent,
    "given": given,
}
"""By the name that a phase has for its comparisons."""


def _even(count: int) -> int:
    if count % 2:
        raise ValueError(f"pairs of {count} samples: an odd number")
    return count


def _scores(count: int, matches: Sequence[Match], outcomes: Sequence[Outcome]) -> list[float]:
    """The sum of each sample's outcomes."""
    scores = [0.0] * count
    for (first, second), outcome in zip(matches, outcomes, strict=True):
        scores[first] += outcome
        scores[second] -= outcome
    return scores


def _best_and_worst(scores: Sequence[float]) -> Match:
    """The first of the highest scores, the last of the lowest."""
    return max(range(len(scores)), key=scores.__getitem__), min(reversed(range(len(scores))), key=scores.__getitem__)


def _neighbours(samples: Sequence[int]) -> list[Match]:
    return list(zip(samples[::2], samples[1::2], strict=True))


def _winners(matches: Sequence[Match], outcomes: Sequence[Outcome]) -> list[int]:
    return [second if outcome < 0 else first for (first, second), outcome in zip(matches, outcomes, strict=True)]


def _losers(matches: Sequence[Match], outcomes: Sequence[Outcome]) -> list[int]:
    return [first if outcome < 0 else second for (first, second), outcome in zip(matches, outcomes, strict=True)]
