"""Benchmarks of instructions: what is read, judged and scored, by the files of IFBench."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nashflow.components.benchmarks.data import DataFile
from nashflow.components.benchmarks.ifbench.settings import IFBench
from nashflow.components.benchmarks.nltk_data import PUNKT
from nashflow.components.benchmarks.questions import Answer, Answered
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.work import AtWork
from nashflow.components.measuring.answering import File
from nashflow.components.measuring.stages import Done, Stages
from nashflow.components.runtime.protocol import Call, StepSettings
from nashflow.components.storage.records import CATEGORIES
from nashflow.components.storage.store import open_store

pytest.importorskip("lm_eval")

Row = Mapping[str, Any]
WORDS = "count:word_count_range"
BRIEF = {"min_words": 1.0, "max_words": 2, "N": None}


def prompt(key: Any, *instructions: tuple[str, Mapping[str, Any]]) -> Row:
    names, kwargs = zip(*instructions, strict=True)
    return {"key": key, "prompt": f"Say {key}.", "instruction_id_list": names, "kwargs": kwargs}


PROMPTS = (
    prompt(1, (WORDS, BRIEF)),
    prompt(2, (WORDS, BRIEF), ("format:no_whitespace", {})),
    prompt(3, (WORDS, BRIEF), ("sentence:increment", {"small_n": 1})),
)


class Toy(IFBench):
    """With any file of prompts."""

    files: ClassVar[tuple[DataFile, ...]] = (DataFile("IFBench_test.jsonl", "the prompts"),)


def benchmark(folder: Path, rows: Sequence[Any] = PROMPTS) -> IFBench:
    (folder / "IFBench_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Toy(data=str(folder))


def judged(made: IFBench, *answers: str) -> list[Answered]:
    data = made.opened()
    answered = [
        Answered(question, Answer(question.id, (text,)))
        for question, text in zip(made.asked(data), answers, strict=True)
    ]
    rows = made.judgments(answered, None, data)  # type: ignore[arg-type]
    return [
        Answered(each.question, each.answer, tuple(row for row in rows if row["question"] == each.question.id))
        for each in answered
    ]


def figures(made: IFBench, *answers: str) -> dict[str, Any]:
    return dict(made.score(judged(made, *answers), made.opened()).figures)


def test_prompts_count_where_all_their_instructions_are_followed(tmp_path: Path, nltk_data: Path) -> None:
    made = benchmark(tmp_path)
    found = figures(made, "one two", "one two", "one two three\nfour")
    assert found["prompt_strict"] == pytest.approx(100 * 1 / 3)
    assert found["instruction_strict"] == pytest.approx(100 * 3 / 5)
    assert found["prompt_loose"] == pytest.approx(100 * 2 / 3)
    assert found["instruction_loose"] == pytest.approx(100 * 4 / 5)
    assert found["prompt_strict_low"] < found["prompt_strict"] < found["prompt_strict_high"]
    assert not any(name.startswith("refused") for name in found)


def test_an_instruction_that_cannot_be_checked_is_counted_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path / "nowhere")])
    found = figures(benchmark(tmp_path), "one two", "one", "one")
    assert found["refused/sentence:increment"] == 1
    assert found["prompt_strict"] == 100, "of the two prompts that are checked wholly"
    assert found["instruction_strict"] == 100
    assert f"sentence:increment cannot be checked: NLTK's data {PUNKT} is not here; set NLTK_DATA" in caplog.text
    assert {f"refused/{name}" for name in ("sentence:increment",)} <= {figure.name for figure in IFBench.scored}


def test_where_none_can_be_checked_there_is_no_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path / "nowhere")])
    assert set(figures(benchmark(tmp_path, PROMPTS[2:]), "one")) == {
        "refused/sentence:increment",
        *(f"instruction_{manner}{end}" for manner in ("strict", "loose") for end in ("", "_error", "_low", "_high")),
    }


def test_groups_of_instructions_have_figures_of_their_own(tmp_path: Path, nltk_data: Path) -> None:
    made = benchmark(tmp_path)
    rows = made.score(judged(made, "one two", "one two", "one"), made.opened()).records[CATEGORIES]
    strict = {
        row["category"]: (row["value"], row["questions"]) for row in rows if row["figure"] == "instruction_strict"
    }
    assert strict == {"count": (100, 3), "format": (0, 1), "sentence": (100, 1)}
    assert [question.category for question in made.asked(made.opened())] == ["count", "several", "several"]


def test_answers_are_checked_again_once_they_can_be(
    tmp_path: Path, nltk_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the stages of the evaluation, with a file of answers as the benchmark's authors have it."""
    made, store, given = benchmark(tmp_path), open_store(str(tmp_path / "run")), tmp_path / "answers.jsonl"
    said = [{"prompt": f" {row['prompt']}\n", "response": "one two"} for row in (*PROMPTS, {"prompt": "Another"})]
    given.write_text("".join(json.dumps(row) + "\n" for row in said))

    def carried_out() -> list[Done]:
        at_work = AtWork(Call(store, 0, "", 0, StepSettings()), "evaluation")
        return Stages(store, 0, at_work, File(given), None, "2026-01-02").carry_out(made)

    with monkeypatch.context() as patched:
        patched.setattr("nltk.data.path", [])
        before = carried_out()
    assert [found for _, found in before] == [False] * 4
    assert (before[2][0].metrics["ifbench/no_verdict"], before[3][0].metrics["ifbench/prompt_strict"]) == (1, 50)
    after = carried_out()
    assert [found for _, found in after] == [True, True, False, False]
    assert after[3][0].metrics["ifbench/prompt_strict"] == pytest.approx(200 / 3)
    assert [found for _, found in carried_out()] == [True] * 4


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"key": 1}, "prompt number 1 is none: it needs key, prompt, instruction_id_list"),
        ("text", "prompt number 1 is none"),
        ({**PROMPTS[0], "kwargs": []}, "prompt number 1 is none"),
        (prompt(7, ("count:word_count", {})), "prompt 7: instruction 'count:word_count' is unknown; did you mean"),
        (prompt(7, (WORDS, {"min_words": 3})), f"prompt 7: its instruction {WORDS} lacks max_words"),
    ],
)
def test_a_prompt_that_cannot_be_checked_is_refused(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"IFBench_test\.jsonl") as refused:
        benchmark(tmp_path, [row]).check()
    assert said in str(refused.value)


def test_what_is_not_installed_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nashflow.components.benchmarks.extra.find_spec", lambda name: None if name == "emoji" else 1)
    with pytest.raises(UserError, match=r"ifbench: emoji is not installed here: install nashflow\[benchmarks\]"):
        benchmark(tmp_path).check()
