"""The interface of oracles, which give the probability that one response is preferred to another."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ..core.digests import canonical_json
from ..core.errors import UserError
from ..storage.records import Message


@dataclass(frozen=True)
class Query:
    """Which of two responses to the dialogue `messages` is better?"""

    messages: Sequence[Message]
    first: str
    second: str

    @property
    def identical(self) -> bool:
        """Whether the two texts are one."""
        return self.first == self.second

    @property
    def pair(self) -> tuple[str, str]:
        """The two texts, the same in either order."""
        return (self.first, self.second) if self.ordered else (self.second, self.first)

    @property
    def ordered(self) -> bool:
        """Whether the two texts are in the order in which oracles are asked."""
        return self.first <= self.second

    def swapped(self) -> "Query":
        """The same question in the other order."""
        return Query(self.messages, self.second, self.first)


@dataclass(frozen=True)
class Verdict:
    """P(first ≻ second): `forward` as seen in this order, `backward` as seen in the swapped one, and their mean."""

    forward: float
    backward: float
    probability: float
    abstained: bool = False
    """The oracle could not judge; the probabilities are 1/2."""
    truncated: bool = False
    """The oracle saw only part of a text."""
    members: tuple[float, ...] = ()
    """P(first ≻ second) of each of the oracles of which this verdict is the mean; empty if it is the verdict of one."""
    score: float = 0.0
    """log P(first ≻ second) − log P(second ≻ first) where the oracle's settings say that it has scores."""

    @classmethod
    def of(cls, forward: float, backward: float, *, truncated: bool = False, score: float = 0.0) -> Self:
        """The verdict of two sights of a pair, in multiples of 2^-53: on these, 1 - x is exact and its own inverse."""
        mean = _rounded((forward + backward) / 2)
        return cls(_rounded(forward), _rounded(backward), mean, truncated=truncated, score=score)

    def swapped(self) -> "Verdict":
        """The verdict on the same pair in the other order."""
        members = tuple(1 - member for member in self.members)
        probabilities = 1 - self.backward, 1 - self.forward, 1 - self.probability
        return Verdict(*probabilities, self.abstained, self.truncated, members, -self.score)


ABSTENTION = Verdict(0.5, 0.5, 0.5, abstained=True)
EVEN = Verdict(0.5, 0.5, 0.5)
"""The verdict on a text against itself."""


class Oracle(ABC):
    """A judge of pairs. Antisymmetric: a pair is judged in the sorted order of its texts, and the verdict is swapped if
    it was asked in the other order."""

    @property
    def usage(self) -> Mapping[str, float]:
        """What it has used since it was opened, such as tokens, by name; the names are the same from the start."""
        return {}

    def begin(self, part: str) -> None:
        """What is asked from now on is for this part of a unit of work, which has one name in every attempt at it.

        An oracle that keeps its answers counts what earlier attempts at the part have paid for as used.
        """
        return

    def waits_for(self, query: Query) -> bool:
        """Whether somebody outside of the run has to answer a question first, before it can be judged."""
        return False

    def compare(self, queries: Sequence[Query]) -> list[Verdict]:
        """One verdict a query; equal pairs are judged once, a text against itself never."""
        keys = [(canonical_json(list(query.messages)), *query.pair) for query in queries]
        distinct = {
            key: query if query.ordered else query.swapped()
            for key, query in zip(keys, queries, strict=True)
            if not query.identical
        }
        known = dict(zip(distinct, self.judge(list(distinct.values())), strict=True)) if distinct else {}
        verdicts = (known.get(key, EVEN) for key in keys)
        return [
            verdict if query.ordered else verdict.swapped() for query, verdict in zip(queries, verdicts, strict=True)
        ]

    @abstractmethod
    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """One verdict for each of some distinct, ordered queries about different texts."""


def sigmoid(difference: float) -> float:
    """σ(d), by tanh: nothing overflows, and σ(d) + σ(-d) is 1.

    Raises:
        UserError: d is NaN, as it is where a head's weights are, or where all of them are zero.
    """
    if math.isnan(difference):
        raise UserError(
            "oracle.model: its preference is no number, since the weights of its head are not finite, or all are zero: "
            "set it to a folder whose head is trained"
        )
    return 0.5 + 0.5 * math.tanh(difference / 2)


def _rounded(probability: float) -> float:
    return 1.0 - (1.0 - probability)
