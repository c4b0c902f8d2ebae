from pathlib import Path

from nashflow.components.reports.answers import sample_answers
from tests.components.reports.toy_runs import WON, evaluations, toy_run


def test_each_prompt_comes_once_with_both_first_answers_and_the_oracles_probability(tmp_path: Path) -> None:
    """The toy's second samples have another text and probability 1."""
    store = toy_run(tmp_path, evaluations(3, WON), prompts=("x0", "x1", "x0", "x2"))
    shown = [(a.messages[0]["content"], a.reference, a.policy, a.probability) for a in sample_answers(store, 2)]
    assert shown == [
        ("x0", "reference 0", "t2 0", 0.0),
        ("x1", "reference 1", "t2 1", 0.1),
        ("x2", "reference 3", "t2 3", 0.3),
    ]


def test_eight_prompts_are_enough(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON), prompts=[f"question {i}" for i in range(10)])
    assert [a.messages[0]["content"] for a in sample_answers(store, 1)] == [f"question {i}" for i in range(8)]


def test_the_reference_alone_is_shown_beside_its_own_other_answers(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(1, WON), prompts=("x0",))
    (answer,) = sample_answers(store, 0)
    assert (answer.reference, answer.policy, answer.probability) == ("reference 0", "t0 0", 0.0)


def test_without_the_head_to_head_benchmark_there_is_no_probability(tmp_path: Path) -> None:
    (answer,) = sample_answers(toy_run(tmp_path, evaluations(2), prompts=("x0",)), 1)
    assert (answer.reference, answer.policy, answer.probability) == ("reference 0", "t1 0", None)
