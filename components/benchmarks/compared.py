"""Judgments of a policy's answers beside given ones."""

from ..storage.records import Judgment


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
