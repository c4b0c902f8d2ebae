"""Examples to read: cases that a policy has won, tied and lost, or its best, middle and worst grades."""

from collections.abc import Sequence
from typing import NamedTuple

from ...core.digests import sha256_bytes
from .cases import Case

_EACH = 3
_TIED = 0.05
"""A probability this near to 1/2 is a tie."""


class Example(NamedTuple):
    """A case, and what it is an example of."""

    outcome: str
    case: Case


def examples_of(cases: Sequence[Case]) -> list[Example]:
    """Up to three cases of each outcome, drawn by the digests of the questions' ids.

    The draw is the same for all policies as far as outcomes are, and no question is preferred for its text.
    """
    judged = [(case, case.value) for case in sorted(cases, key=_place) if case.value is not None]
    compared = [(case, value - 0.5) for case, value in judged if case.opponent]
    groups = {
        "win": [case for case, margin in compared if margin > _TIED],
        "tie": [case for case, margin in compared if abs(margin) <= _TIED],
        "loss": [case for case, margin in compared if margin < -_TIED],
        **_graded([(case, value) for case, value in judged if not case.opponent]),
        "no verdict": [case for case in sorted(cases, key=_place) if case.value is None],
    }
    return [Example(outcome, case) for outcome, found in groups.items() for case in found[:_EACH]]


def _graded(graded: Sequence[tuple[Case, float]]) -> dict[str, list[Case]]:
    """The best, the middle and the worst grades; of equal ones, the first that were drawn."""
    ranked = [case for case, _ in sorted(graded, key=lambda each: -each[1])]
    middle = max(0, len(ranked) // 2 - _EACH // 2)
    parts = {"best": ranked[:_EACH], "middle": ranked[middle:], "worst": ranked[::-1]}
    shown: set[str] = set()
    found: dict[str, list[Case]] = {}
    for name, part in parts.items():
        found[name] = [case for case in part if case.question not in shown][:_EACH]
        shown |= {case.question for case in found[name]}
    return found


def _place(case: Case) -> str:
    return sha256_bytes(case.question.encode())
