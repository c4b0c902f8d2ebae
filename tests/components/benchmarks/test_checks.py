"""How answers follow instructions: strictly, loosely or not."""

import pytest

from nashflow.components.benchmarks.checks import rule


def short(answer: str, words: int) -> bool:
    return len(answer.split()) <= words


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        ("one two", "strict"),
        ("Sure!\none two", "loose"),
        ("one two\nAnything else?", "loose"),
        ("Sure!\none two\nAnything else?", "loose"),
        ("one * two", "loose"),
        ("one two three", "not"),
        ("one two three\nfour five six", "not"),
        ("", "not"),
        (" \n ", "not"),
    ],
)
def test_an_answer_may_be_loose_by_a_line_at_its_ends_and_by_asterisks(answer: str, how: str) -> None:
    assert rule(short).follows(answer, words=2) == how


def test_a_line_that_leaves_nothing_is_not_left_out() -> None:
    assert rule(lambda answer: "no" not in answer).follows("no") == "not"
