"""Judgments of a policy's answers beside given ones."""

from collections.abc import Sequence

from ..oracles.base import Query
from ..storage.records import Judgment, Message
from .judge import Judge
from .questions import Answered
from .versus import both_orders


def compared(answered: Sequence[Answered], judge: Judge) -> list[Judgment]:
    """What an oracle says in its own way of the answers to first turns: a judgment for each order."""
    queries = [
        Query([Message(role="user", content=each.question.turns[0])], each.answer.turns[0], each.question.opponent[0])
        for each in answered
    ]
    verdicts = zip(answered, judge.compare(queries), strict=True)
    return [row for each, verdict in verdicts for row in both_orders(each.question.id, verdict, judge.signature)]


def game(
    question: str, number: int, first: bool, outcome: str, probability: float, verdict: str, output: str, judge: str
) -> Judgment:
    """The judgment of one game; `first`: whether the policy's answer was shown first."""
    return Judgment(
        question=question,
        turn=0,
        game=number,
        first=first,
        outcome=outcome,
        verdict=verdict,
        probability=probability,
        grade=0.0,
        output=output,
        judge=judge,
    )
