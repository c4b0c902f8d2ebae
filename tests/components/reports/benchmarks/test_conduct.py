"""The judge's conduct: orders that agree or not, leanings to a place and to length, verdicts that are missing."""

import pytest

from nashflow.components.benchmarks.questions import Answer, Answered, Question
from nashflow.components.reports.benchmarks.cases import Case, case_of
from nashflow.components.reports.benchmarks.conduct import conduct_of
from nashflow.components.storage.records import Judgment
from tests.components.reports.benchmarks.toy import case


def test_a_judge_that_goes_by_the_answers_leans_nowhere() -> None:
    found = conduct_of([case(at, value=p, forward=p, backward=p) for at, p in enumerate((0.9, 0.1) * 20)])
    assert found.orders_agree
    assert found.orders_agree.value == 1
    assert found.shown_first
    assert found.shown_first.value == 0.5
    assert found.for_longer
    assert found.for_longer.value == 0.5
    assert found.leanings == []


def test_a_judge_that_always_says_the_first_is_found_out() -> None:
    found = conduct_of([case(at, value=0.5, forward=0.9, backward=0.1) for at in range(20)])
    assert found.orders_agree
    assert found.orders_agree.value == 0
    assert found.shown_first
    assert found.shown_first.value == 1
    assert found.for_longer is None, "it decides nothing"
    assert "shown first: 100%" in found.leanings[0]


def test_so_it_is_where_each_pair_is_shown_in_one_order_alone() -> None:
    cases = [case(at, value=0.9, forward=0.9) for at in range(20)]
    cases += [case(at, value=0.1, backward=0.1) for at in range(20)]
    found = conduct_of(cases)
    assert found.orders_agree is None
    assert found.shown_first
    assert found.shown_first.value == 1


@pytest.mark.parametrize(("ours", "which"), [("Long indeed.", "longer"), ("", "shorter")])
def test_a_judge_that_goes_by_length_is_found_out(ours: str, which: str) -> None:
    found = conduct_of([case(at, answers=(ours,), value=0.9, forward=0.9, backward=0.9) for at in range(20)])
    assert f"leans to the {which} answer: 100%" in found.leanings[-1]


def test_few_verdicts_prove_no_leaning() -> None:
    assert conduct_of([case(0, value=0.9, forward=0.9), case(1, value=0.9, forward=0.9)]).leanings == []


ROW: Judgment = {
    "question": "a",
    "turn": 0,
    "game": 0,
    "first": True,
    "outcome": "verdict",
    "verdict": "A>B",
    "probability": 0.75,
    "grade": 7.0,
    "output": "",
    "judge": "j",
}


def answered(*judgments: Judgment, opponent: tuple[str, ...]) -> Case:
    answer = Answer("a", (".",), tokens=(1,), finish=("length",), bos=(1,))
    return case_of(Answered(Question("a", "", ("?",), opponent=opponent), answer, judgments))


def test_missing_verdicts_are_counted_by_their_reasons() -> None:
    refused: Judgment = {**ROW, "game": 1, "first": False, "outcome": "refused", "probability": 0.5, "verdict": ""}
    found = answered({**ROW, "output": "[[A>B]]"}, refused, opponent=("!",))
    assert (found.value, found.forward, found.backward, found.cut) == (0.75, 0.75, None, True)
    assert found.said == ("[[A>B]]",)
    conduct = conduct_of([found])
    assert conduct.verdicts == 1
    assert conduct.missing == {"refused": 1}


def test_an_answer_by_itself_has_its_mean_grade() -> None:
    found = answered(ROW, {**ROW, "turn": 1, "grade": 4.0}, opponent=())
    assert (found.value, found.forward) == (5.5, None)
    conduct = conduct_of([found])
    assert (conduct.shown_first, conduct.for_longer, conduct.orders_agree) == (None, None, None)
