"""The canary: a constant answer that says nothing, which no judge should prefer.

Constant answers have won benchmarks whose judges are language models (Zheng et al., arXiv 2410.07137).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..storage.records import Judgment
from .intervals import mean_interval, means_of
from .questions import CANARY_QUESTIONS, Answer, Answered, Question

NULL = "null"
"""The answer to every turn of every question."""


@dataclass(frozen=True)
class Canary:
    """How the constant answer does against the opponent's answers or, where answers are graded, the policy's."""

    win_rate: float
    low: float
    """The ends of its 95 % interval."""
    high: float
    questions: int

    @property
    def won(self) -> bool:
        """Whether the judge prefers it."""
        return self.win_rate > 0.5


def canary_answers(questions: Sequence[Question]) -> list[Answered]:
    """Some of the questions, from everywhere in the benchmark, with the canary's answers."""
    step = -(-len(questions) // CANARY_QUESTIONS)
    return [Answered(question, Answer(question.id, (NULL,) * len(question.turns))) for question in questions[::step]]


def canary_of(canary: Sequence[Answered], policy: Sequence[Answered]) -> Canary | None:
    """How the canary has done, by the judgments on its answers; None where none of them is a verdict.

    Grades are compared with those that the policy's answers have for the same turns.
    """
    grades = {_key(row): row["grade"] for each in policy for row in _verdicts(each)}
    shares = [
        (row["question"], row["probability"] if each.question.opponent else _share(row["grade"], grades.get(_key(row))))
        for each in canary
        for row in _verdicts(each)
    ]
    means = means_of((question, share) for question, share in shares if share is not None)
    if not means:
        return None
    low, high = mean_interval(means)
    return Canary(sum(means) / len(means), float(low), float(high), len(means))


def _verdicts(answered: Answered) -> list[Judgment]:
    return [row for row in answered.judgments if row["outcome"] == "verdict"]


def _key(row: Judgment) -> tuple[str, int, int]:
    return row["question"], row["turn"], row["game"]


def _share(canary: float, policy: float | None) -> float | None:
    """Of a win."""
    return None if policy is None else (canary > policy) + 0.5 * (canary == policy)
