"""Labelled pairs in the layouts of well-known data sets, with the columns that the set has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.prompts.compared import Compared, read_compared
from nashflow.components.prompts.layouts.base import Answer
from nashflow.components.prompts.reading import Asked, read
from nashflow.components.prompts.settings import PromptSource
from tests.components.prompts.test_layouts import CASES, say, write


def labels(each: Compared) -> list[tuple[str, str, float | None]]:
    """The pairs of an entry by their texts."""
    return [(each.answers[i].text, each.answers[j].text, label) for i, j, label in each.pairs()]


class Case(NamedTuple):
    file: str
    entries: list[dict[str, Any]]
    layout: str
    pairs: list[list[tuple[str, str, float | None]]]
    categories: list[str]
    models: Sequence[Sequence[str]] = ()


TURNS = {"conversation_a": say("A?", "1", "B?", "2"), "conversation_b": say("A?", "3", "B?", "4"), "winner": "model_b"}
NEW = {
    "RewardBench": Case(
        "filtered.parquet",
        [
            {"prompt": "Why?", "chosen": "good", "chosen_model": "x", "rejected": "bad", "rejected_model": "y"}
            | {"subset": "alpacaeval-easy", "id": 0}
        ],
        "fields",
        [[("good", "bad", 1.0)]],
        ["alpacaeval-easy"],
    ),
    "RewardBench 2": Case(
        "test-00000-of-00001.parquet",
        [
            {"id": "1", "prompt": "Why?", "chosen": ["good"], "rejected": ["bad", "worse"], "num_correct": 1}
            | {"num_incorrect": 2, "total_completions": 3, "models": ["x", "y", "z"], "subset": "Math"},
            {"id": "2", "prompt": "Name a colour.", "chosen": ["red", "blue"], "rejected": ["dog"], "num_correct": 2}
            | {"num_incorrect": 1, "total_completions": 3, "models": ["x", "y", "z"], "subset": "Ties"},
        ],
        "rewardbench2",
        [
            [("good", "bad", 1.0), ("good", "worse", 1.0), ("bad", "worse", None)],
            [("red", "blue", 0.5), ("red", "dog", 1.0), ("blue", "dog", 1.0)],
        ],
        ["Math", "Ties"],
    ),
    "JudgeBench": Case(
        "gpt.jsonl",
        [
            {"pair_id": label, "original_id": "1", "source": "mmlu-pro-law", "question": label, "label": label}
            | {"response_model": "m", "response_A": "one", "response_B": "two"}
            for label in ("A>B", "B>A")
        ],
        "judgebench",
        [[("one", "two", 1.0)], [("one", "two", 0.0)]],
        ["mmlu-pro-law"] * 2,
    ),
    "MT-Bench human judgments": Case(
        "human-00000-of-00001.parquet",
        [
            {"question_id": 81, "model_a": "x", "model_b": "y", "judge": "expert_0", "turn": 1} | TURNS,
            {"question_id": 81, "model_a": "x", "model_b": "y", "judge": "expert_0", "turn": 2} | TURNS,
        ],
        "arena",
        [[("1", "3", 0.0)]],
        [""],
        [["x", "y"]],
    ),
}
KNOWN = {
    "ultrafeedback_binarized": [[("good", "bad", 1.0)]],
    "HelpSteer2": [[("bad", "good", 0.0)], [("same 0", "same 1", 0.5)]],
    "HelpSteer2 preference": [[("one", "two", 1.0)], [("one", "two", 0.5)], [("one", "two", 0.0)]],
    "HelpSteer3": [[("one", "two", 1.0)]],
    "Skywork-Reward-Preference": [[("good", "bad", 1.0)]],
    "Nectar": [[("fair", "bad", 1.0), ("fair", "good", 0.0), ("bad", "good", 0.0)]],
    "hh-rlhf": [[("good", "bad", 1.0)]],
    "Chatbot Arena": [[("one", "two", 1.0)], [("one", "two", 0.0)], [("one", "two", 0.5)]],
    "arena-human-preference-140k": [[("one", "two", 0.0)]],
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_was_compared_is_read_from_prompts_that_are_known(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    compared, counts = read_compared(PromptSource(path=str(write(tmp_path / case.file, case.entries))))
    assert counts.layout == case.layout
    assert [labels(each) for each in compared] == KNOWN[name]
    assert [each.messages for each in compared] == case.prompts[: len(compared)]


@pytest.mark.parametrize("name", NEW)
def test_benchmarks_of_judges_are_read(name: str, tmp_path: Path) -> None:
    case = NEW[name]
    path = write(tmp_path / case.file, case.entries)
    compared, counts = read_compared(PromptSource(path=str(path)))
    assert counts.layout == case.layout
    assert [labels(each) for each in compared] == case.pairs
    assert [each.category for each in compared] == case.categories
    assert [[answer.model for answer in each.answers] for each in compared] == (
        case.models or [[""] * len(each.answers) for each in compared]
    )


def test_models_are_named_where_the_data_name_them(tmp_path: Path) -> None:
    arena, _ = read_compared(PromptSource(path=str(write(tmp_path / "a.jsonl", CASES["Chatbot Arena"].entries))))
    assert arena[1].answers == [Answer("one", 0.0, "x"), Answer("two", 1.0, "y")]
    assert [each.category for each in arena] == ["English"] * 3
    nectar, _ = read_compared(PromptSource(path=str(write(tmp_path / "n.jsonl", CASES["Nectar"].entries))))
    assert {answer.model for answer in nectar[0].answers} == {"m"}


def test_benchmarks_of_judges_give_pairs_to_learn_from(tmp_path: Path) -> None:
    given = {"RewardBench 2": [["good", "worse"], ["red", "dog"]], "JudgeBench": [["one", "two"], ["two", "one"]]}
    for name, expected in given.items():
        path = str(write(tmp_path / NEW[name].file, NEW[name].entries))
        pool, _ = read(PromptSource(path=path), Asked(wanted="pairs"))
        assert [prompt.given for prompt in pool] == expected


def test_a_vote_on_a_dialogues_first_turn_is_on_its_first_answer(tmp_path: Path) -> None:
    _, counts = read_compared(
        PromptSource(path=str(write(tmp_path / "h.jsonl", NEW["MT-Bench human judgments"].entries)))
    )
    assert (counts.read, counts.kept, counts.left_out) == (2, 1, {"uncompared": 1})


def pairs(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"q{index}", "chosen": "a", "rejected": "b"} for index in range(count)]


def test_a_limit_draws_prompts_whatever_their_order(tmp_path: Path) -> None:
    entries = [*pairs(50), *pairs(50)]
    drawn = []
    for name, order in (("a", entries), ("b", entries[::-1])):
        source = PromptSource(path=str(write(tmp_path / f"{name}.jsonl", order)))
        compared, counts = read_compared(source, 10, 7)
        drawn.append(sorted(each.messages[0]["content"] for each in compared))
        assert [each.prompt for each in compared].count(compared[0].prompt) == 2
        assert (counts.kept, counts.left_out) == (10, {"not_drawn": 80})
    assert drawn[0] == drawn[1]
    assert {each.messages[0]["content"] for each in read_compared(source, 10, 8)[0]} != set(drawn[0])
    assert len(read_compared(source, 60, 7)[0]) == 100


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"question": "q", "response_A": "a", "response_B": "b"}, r"nearest layout, judgebench.*; it lacks label$"),
        (
            {"prompt": "q", "response": "a"},
            r"here: prompt, response\); give the fields prompt, .* helpsteer2: .*; it lacks helpfulness",
        ),
        ({"prompt": "q", "chosen": "a"}, r"nearest layout, rewardbench2: prompt, chosen, rejected; it lacks rejected"),
        ({"instruction": "q", "output": "a"}, r"line 1: no responses that were compared \(here: instruction, output\)"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, r"1 without two different responses that were compared"),
    ],
)
def test_data_without_labels_are_refused(entry: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        read_compared(PromptSource(path=str(write(tmp_path / "x.jsonl", [entry]))))


def test_entries_that_cannot_be_read_are_refused_or_counted(tmp_path: Path) -> None:
    path = str(write(tmp_path / "x.jsonl", [*pairs(2), {"prompt": " ", "chosen": "a", "rejected": "b"}]))
    with pytest.raises(
        UserError, match=r"line 3: the prompt is empty; remove the entry, or set prompts\.on_bad to skip"
    ):
        read_compared(PromptSource(path=path))
    _, counts = read_compared(PromptSource(path=path, on_bad="skip"))
    assert counts.left_out == {"empty": 1}
