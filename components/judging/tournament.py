"""Tournaments: who meets whom among the K samples of one prompt, and which pairs come of it.

A tournament is a generator, pure and deterministic. It yields rounds, lists of matches (first, second) of sample
indices; it is sent back each match's outcome, 1 where the first won, -1 where the second did, 0 for a tie; it returns
candidates.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple

Match = tuple[int, int]
Outcome = int


class Candidate(NamedTuple):
    """A pair that a tournament found, and whether its rules let it stand."""

    chosen: int
    rejected: int
    stands: bool


Tournament = Generator[list[Match], list[Outcome], list[Candidate]]


def bracket(count: int) -> Tournament:
    """Best against worst of `count` = 2^m samples by knock-out (INPO, arXiv 2407.00617, section 4.1).

    Neighbours meet; then winners meet winners and losers meet losers, the loser of each match among losers going on;
    the first wins a tie. At last the best meets the worst, and their pair stands if the best wins strictly.
    3 count / 2 - 1 comparisons.

    Raises:
        ValueError: `count` is not a power of two from 2 on.
    """
    if count < 2 or count & (count - 1):
        raise ValueError(f"a bracket of {count} samples: not a power of two")
    high = low = _neighbours(range(count))
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
    if count % 2:
        raise ValueError(f"pairs of {count} samples: an odd number")
    matches = _neighbours(range(count))
    outcomes = yield matches
    winners, losers = _winners(matches, outcomes), _losers(matches, outcomes)
    return [Candidate(winner, loser, True) for winner, loser in zip(winners, losers, strict=True)]


TOURNAMENTS: Mapping[str, Callable[[int], Tournament]] = {"bracket": bracket, "iid": iid_pairs}
"""By the name that a phase has for its comparisons."""


def _neighbours(samples: Sequence[int]) -> list[Match]:
    return list(zip(samples[::2], samples[1::2], strict=True))


def _winners(matches: Sequence[Match], outcomes: Sequence[Outcome]) -> list[int]:
    return [second if outcome < 0 else first for (first, second), outcome in zip(matches, outcomes, strict=True)]


def _losers(matches: Sequence[Match], outcomes: Sequence[Outcome]) -> list[int]:
    return [first if outcome < 0 else second for (first, second), outcome in zip(matches, outcomes, strict=True)]
