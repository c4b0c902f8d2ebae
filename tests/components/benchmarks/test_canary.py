"""The constant answer: which questions it answers, and when a judge has fallen for it."""

from dataclasses import replace
from typing import Any

import pytest

from nashflow.components.benchmarks.canary import NULL, canary_answers, canary_of
from nashflow.components.benchmarks.questions import Answered, Question
from nashflow.components.storage.records import Judgment


def judged(at: int, *, opponent: tuple[str, ...] = ("So.",), **more: Any) -> Answered:
    """The canary's answer to a question, with one judgment for each value of `probability` or `grade`."""
    (answered,) = canary_answers([Question(f"q{at}", "", ("Why?",), opponent=opponent)])
    row: Judgment = {
        "question": f"q{at}",
        "turn": 0,
        "game": 0,
        "first": True,
        "outcome": "verdict",
        "verdict": "",
        "probability": 0.5,
        "grade": 0.0,
        "output": "",
        "judge": "scripted",
        **more,
    }
    return replace(answered, judgments=(row,))


def test_it_says_the_same_to_every_turn() -> None:
    (made,) = canary_answers([Question("q0", "", ("Why?", "And?"))])
    assert made.answer.turns == (NULL, NULL)
    assert made.answer.question == "q0"


@pytest.mark.parametrize(("count", "asked"), [(1, 1), (20, 20), (80, 20), (805, 20)])
def test_twenty_questions_at_most_from_everywhere(count: int, asked: int) -> None:
    chosen = [made.question.id for made in canary_answers([Question(f"q{at}", "", ("?",)) for at in range(count)])]
    assert len({*chosen}) == asked
    assert chosen[0] == "q0"
    assert int(chosen[-1][1:]) >= count * 0.9 - 1


def test_it_has_won_where_the_judge_prefers_it() -> None:
    won = canary_of([judged(at, probability=(0.9, 0.7)[at % 2]) for at in range(10)], [])
    assert won is not None
    assert won.won
    assert won.win_rate == pytest.approx(0.8)
    assert won.questions == 10
    lost = canary_of([judged(at, probability=0.01) for at in range(10)], [])
    assert lost is not None
    assert not lost.won
    assert lost.low < 0.01 < lost.high < 0.5


def test_grades_are_compared_with_those_of_the_policys_answers() -> None:
    """Of three questions it has the better grade in one and an equal one in one; the third has no grade to compare."""
    canary = [judged(at, opponent=(), grade=5.0) for at in range(3)]
    policy = [judged(at, opponent=(), grade=grade) for at, grade in enumerate((1.0, 5.0))]
    found = canary_of(canary, [*policy, judged(2, opponent=(), outcome="unparsed")])
    assert found is not None
    assert (found.win_rate, found.questions) == (0.75, 2)


def test_without_a_verdict_nothing_is_known() -> None:
    assert canary_of([judged(0, outcome="refused")], []) is None
    assert canary_of([], []) is None
