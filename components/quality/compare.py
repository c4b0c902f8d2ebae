"""Two judges on the same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from . import agreement
from .agreement import Share
from .pairs import LabelledPairs, Verdicts


@dataclass(frozen=True)
class Difference:
    """How two judges differ, by their places."""

    first: int
    second: int
    accuracy: Share
    """The first one's less the second one's, with the paired interval."""
    kappa: float | None
    """Cohen's, between their decisions on the pairs that both could judge."""
    apart: float
    """The share of all pairs that they do not decide alike."""


def differences(pairs: LabelledPairs, verdicts: Sequence[Verdicts]) -> list[Difference]:
    """Each two judges."""
    found, decided = [], pairs.decided
    for first, second in combinations(range(len(verdicts)), 2):
        one, other = verdicts[first], verdicts[second]
        of_one, of_other = (agreement.hits(pairs.label, each.decision)[decided] for each in (one, other))
        both = ~one.abstained & ~other.abstained
        found.append(
            Difference(
                first,
                second,
                agreement.difference(of_one, of_other, pairs.prompt[decided]),
                agreement.kappa(one.decision[both], other.decision[both]),
                float((one.decision != other.decision).mean()),
            )
        )
    return found
