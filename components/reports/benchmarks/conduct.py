"""How a judge has behaved in a benchmark: the order of the answers, their length, verdicts that are missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...quality.agreement import Share, share
from ...quality.pairs import ahead
from .cases import Array, Case, column


@dataclass(frozen=True)
class Conduct:
    """What sways a judge, as shares of verdicts with 95 % intervals; None where a benchmark does not tell."""

    verdicts: int
    missing: Mapping[str, int]
    """Verdicts that are missing, by the reason."""
    orders_agree: Share | None
    """Of the cases shown in both orders, those decided alike in both."""
    shown_first: Share | None
    """Of the sights of a case, those that are for the answer shown first; 1/2 without a leaning."""
    for_longer: Share | None
    """Of the decisions on answers of different lengths, those for the one with more characters."""

    @property
    def leanings(self) -> list[str]:
        """What is more than chance in it, a sentence each."""
        found = []
        if self.shown_first and not self.shown_first.low <= 0.5 <= self.shown_first.high:
            place = "first" if self.shown_first.value > 0.5 else "second"
            part = max(self.shown_first.value, 1 - self.shown_first.value)
            found.append(f"The judge leans to the answer that is shown {place}: {part:.0%} of its sights are for it.")
        if self.for_longer and not self.for_longer.low <= 0.5 <= self.for_longer.high:
            which = "longer" if self.for_longer.value > 0.5 else "shorter"
            part = max(self.for_longer.value, 1 - self.for_longer.value)
            found.append(f"The judge leans to the {which} answer: {part:.0%} of its decisions are for it.")
        return found


def conduct_of(cases: Sequence[Case]) -> Conduct:
    """The conduct of the judge of some cases."""
    forward, backward, value = (column(cases, name) for name in ("forward", "backward", "value"))
    judged = ~np.isnan(value)
    both = judged & ~np.isnan(forward) & ~np.isnan(backward)
    return Conduct(
        verdicts=sum(case.verdicts for case in cases),
        missing=Counter(reason for case in cases for reason in case.missing),
        orders_agree=_share(ahead(forward[both] - 0.5) == ahead(backward[both] - 0.5)),
        shown_first=_share(_first(forward[judged], backward[judged])),
        for_longer=_share(_longer(cases, value)),
    )


def _first(forward: Array, backward: Array) -> Array:
    """Of each case that was shown, how many of its sights are for the answer shown first."""
    sights = np.stack([ahead(forward - 0.5), 1 - ahead(backward - 0.5)])
    shown = ~np.isnan(sights)
    seen = shown.any(axis=0)
    return np.asarray(np.where(shown, sights, 0.0).sum(axis=0)[seen] / shown.sum(axis=0)[seen])


def _longer(cases: Sequence[Case], value: Array) -> Array:
    """1 for each decision for the longer answer, 0 for each for the shorter one."""
    compared = np.array([bool(case.opponent) for case in cases], dtype=bool)
    margin = column(cases, "length") - column(cases, "opponent_length")
    towards = (margin * (value - 0.5))[compared & ~np.isnan(value)]
    return np.asarray(towards[towards != 0] > 0, dtype=np.float64)


def _share(values: Array) -> Share | None:
    return share(values, np.arange(len(values)))
