"""Each of IFBench's constraints on answers that follow it, and on answers that do not."""

from pathlib import Path

import pytest

from nashflow.components.benchmarks.ifbench.constraints import CONSTRAINTS
from tests.components.benchmarks.ifbench.cases import CASES

for module in ("nltk", "emoji", "syllapy"):
    pytest.importorskip(module)


@pytest.mark.parametrize("name", CASES)
def test_an_answer_follows_a_constraint_or_does_not(nltk_data: Path, name: str) -> None:
    follow, do_not, arguments = CASES[name]
    found = {answer: CONSTRAINTS[name].holds(answer, **arguments) for answer in (*follow, *do_not)}
    assert found == {**dict.fromkeys(follow, True), **dict.fromkeys(do_not, False)}


def test_every_constraint_has_cases_with_all_its_arguments() -> None:
    assert len(CONSTRAINTS) == 58
    assert {name: set(each.arguments) for name, each in CONSTRAINTS.items()} == {
        name: set(cases.arguments) for name, cases in CASES.items()
    }


@pytest.mark.parametrize(
    ("options", "answer", "holds"),
    [("a), b), c), d)", "b)", True), ("a), b), c), d)", "b", False), ("I know or I don't know", "I don't know.", True)],
)
def test_letters_are_taken_to_the_letter_and_words_in_any_form(options: str, answer: str, holds: bool) -> None:
    assert CONSTRAINTS["format:options"].holds(answer, options=options) is holds
