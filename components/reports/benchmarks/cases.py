"""The cases that a report on a benchmark is made of: questions with the policy's answers and the judge's verdicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...benchmarks.questions import Answered

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A question, a policy's answer, and what a judge, or rules, say of it."""

    question: str
    """Its id."""
    category: str
    turns: tuple[str, ...]
    """What the user says."""
    answers: tuple[str, ...]
    """The policy's, one a turn."""
    opponent: tuple[str, ...] = ()
    """The answers that they are compared with; empty where an answer is graded by itself."""
    tokens: int | None = None
    """Of all answers; None where these come from a file."""
    cut: bool = False
    """Whether an answer was cut, or its thoughts did not end."""
    value: float | None = None
    """The mean probability that the policy's answer is better, or the mean grade; None: no verdict."""
    forward: float | None = None
    """The mean probability that the policy's answer is better where it was shown first; None: it was not."""
    backward: float | None = None
    """Likewise where it was shown second."""
    verdicts: int = 0
    missing: tuple[str, ...] = ()
    """Why there is no verdict, for each that is missing."""
    said: tuple[str, ...] = ()
    """The judge's words, one for each text that it gave."""

    @property
    def length(self) -> int:
        """Characters of the policy's answers."""
        return sum(map(len, self.answers))

    @property
    def opponent_length(self) -> int:
        """Characters of the opponent's answers."""
        return sum(map(len, self.opponent))


def case_of(answered: Answered) -> Case:
    """The case that an answered question is, as it was judged."""
    question, answer = answered.question, answered.answer
    compared, found = bool(question.opponent), [row for row in answered.judgments if row["outcome"] == "verdict"]
    sights = [row for row in found if compared]
    return Case(
        question=question.id,
        category=question.category,
        turns=question.turns,
        answers=answer.turns,
        opponent=question.opponent,
        tokens=sum(answer.tokens) if answer.tokens else None,
        cut=answer.cut,
        value=_mean([row["probability" if compared else "grade"] for row in found]),
        forward=_mean([row["probability"] for row in sights if row["first"]]),
        backward=_mean([row["probability"] for row in sights if not row["first"]]),
        verdicts=len(found),
        missing=tuple(row["outcome"] for row in answered.judgments if row["outcome"] != "verdict"),
        said=tuple(said for row in answered.judgments if (said := row["output"] or row["verdict"])),
    )


def column(cases: Sequence[Case], name: str) -> Array:
    """A number of each case, shape (n,); NaN where it has none."""
    values = (getattr(case, name) for case in cases)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
