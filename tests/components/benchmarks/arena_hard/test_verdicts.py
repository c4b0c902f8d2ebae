"""Labels of Arena-Hard's judgments."""

import pytest

from nashflow.components.benchmarks.arena_hard.verdicts import READ_BACKWARDS, VERDICTS, labels_in, last_label


@pytest.mark.parametrize(
    ("judgment", "labels", "last"),
    [
        ("My final verdict is tie: [[A=B]]", {"A=B"}, "A=B"),
        ("[[A>B]] ... so [[A>B]].", {"A>B"}, "A>B"),
        ("At first [[A>B]], but no: [[B>>A]]", {"A>B", "B>>A"}, "B>>A"),
        ("I would say [A>B]", set(), "A>B"),
        ("[[B>A]] and then [A>B]", {"B>A"}, "B>A"),
        ("[[a>b]]", set(), "A>B"),
        ("[[ A>B ]] [[C]] A>B [[]]", set(), None),
        ("", set(), None),
    ],
)
def test_a_judgment_is_read_as_each_version_reads_it(judgment: str, labels: set[str], last: str | None) -> None:
    assert labels_in(judgment) == labels
    assert last_label(judgment) == last


def test_a_verdict_seen_from_the_other_side_says_the_opposite() -> None:
    for label, meaning in READ_BACKWARDS.items():
        assert READ_BACKWARDS[label.translate(str.maketrans("AB", "BA"))] == (1 - meaning.result, meaning.weight)
        assert READ_BACKWARDS[label.translate(str.maketrans("AB<>", "BA><"))] == meaning
    assert READ_BACKWARDS.keys() - VERDICTS.keys() == {"B<<A", "B<A", "B=A", "A<B", "A<<B"}
    assert {label: VERDICTS[label] for label in ("A>>B", "A>B", "A=B")} == {
        "A>>B": (1, 3),
        "A>B": (1, 1),
        "A=B": (0.5, 1),
    }
