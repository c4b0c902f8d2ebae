from pathlib import Path

from nashflow.components.iterations.units import Shape
from nashflow.components.reports.answers import Answer, sample_answers
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Unit, require_manifest
from tests.components.reports.toy_runs import WON, evaluations, toy_run


def answers(store: Store, iteration: int) -> list[Answer]:
    return sample_answers(store, Shape.of(require_run(store)), iteration)


def test_each_prompt_comes_once_with_both_first_answers_and_the_oracles_probability(tmp_path: Path) -> None:
    """The toy's second samples have another text and probability 1."""
    store = toy_run(tmp_path, evaluations(3, WON), questions=("x0", "x1", "x0", "x2"))
    shown = [(a.messages[0]["content"], a.reference, a.policy, a.probability) for a in answers(store, 2)]
    assert shown == [
        ("x0", "reference 0", "t2 0", 0.0),
        ("x1", "reference 1", "t2 1", 0.1),
        ("x2", "reference 3", "t2 3", 0.3),
    ]


def test_eight_prompts_are_enough(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON), questions=[f"question {i}" for i in range(10)])
    assert [a.messages[0]["content"] for a in answers(store, 1)] == [f"question {i}" for i in range(8)]


def test_the_reference_alone_is_shown_beside_its_own_other_answers(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(1, WON), questions=("x0",))
    (answer,) = answers(store, 0)
    assert (answer.reference, answer.policy, answer.probability) == ("reference 0", "t0 0", 0.0)


def test_without_the_head_to_head_benchmark_no_two_answers_are_there_to_compare(tmp_path: Path) -> None:
    assert answers(toy_run(tmp_path, evaluations(2), questions=("x0",)), 1) == []


def test_of_responses_that_nothing_compares_the_probability_is_unknown(tmp_path: Path) -> None:
    """As a benchmark may read both without asking an oracle."""
    store = toy_run(tmp_path, evaluations(2, WON), questions=("x0",))
    rows = require_manifest(store, layout.evaluation(1, "head_to_head"))
    unit = Unit(store, rows.unit, 1, None, {})
    store.delete(f"{unit.key}.manifest.json")
    unit.publish_records({}, rows.metrics, 0.0)
    (answer,) = answers(store, 1)
    assert (answer.reference, answer.policy, answer.probability) == ("reference 0", "t1 0", None)
