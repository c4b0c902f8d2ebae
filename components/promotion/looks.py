"""What the comparisons so far say: promote, give up, or compare more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .sequence import bounds, log_capital, log_needed

Word = Literal["better", "worse", "futile", "undecided", "open"]
"""better, worse: the whole interval is above, or below, the threshold; futile: the budget cannot bring it above;
undecided: the budget is spent; open: none of these."""


@dataclass(frozen=True)
class Look:
    """A look at the comparisons."""

    prompts: int
    win_rate: float
    low: float
    """The ends of the interval that holds the true win rate at all looks at once."""
    high: float
    word: Word


def look(values: Sequence[float], left: int, threshold: float, confidence: float) -> Look:
    """The look at the win rates on some prompts, one value of each, in [0, 1]; `left` more may follow.

    It is futile to go on where even further prompts that all had the highest win rate that the interval allows would
    not bring its lower end above the threshold. The interval allows any rule of when to stop.
    """
    low, high = bounds(values, confidence)
    mean = sum(values) / len(values) if values else 0.5
    return Look(len(values), mean, low, high, _word(values, left, threshold, confidence, low, high))


def _word(values: Sequence[float], left: int, threshold: float, confidence: float, low: float, high: float) -> Word:
    if low > threshold:
        return "better"
    if high <= threshold:
        return "worse"
    if not left:
        return "undecided"
    reachable = log_capital(values, threshold, left, high) >= log_needed(confidence)
    return "open" if reachable else "futile"


def schedule(first: int, budget: int) -> Iterator[int]:
    """The numbers of prompts at which one looks: `first`, twice as many, and so on up to the budget."""
    while first < budget:
        yield first
        first *= 2
    yield budget
