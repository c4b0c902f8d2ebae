"""MT-Bench's judging: both turns, reference answers where there are some, in the benchmark's words."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.benchmarks.data import Data
from nashflow.components.benchmarks.judge import Judge
from nashflow.components.benchmarks.mt_bench.benchmark import MTBench
from nashflow.components.benchmarks.questions import Answer, Answered
from nashflow.components.core.errors import UserError
from nashflow.components.oracles.llm_judge.settings import LLMJudge
from nashflow.components.oracles.rules.settings import Rules
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures.judge_server import serving

pytestmark = pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")


@pytest.fixture(scope="module")
def benchmark_() -> MTBench:
    return MTBench(data=str(Path(os.environ["NASHFLOW_DATA"], "mt_bench")))


@pytest.fixture(scope="module")
def answered(benchmark_: MTBench) -> list[Answered]:
    questions = benchmark_.asked(benchmark_.opened())
    return [Answered(each, Answer(each.id, (f"first to {each.id}", f"second to {each.id}"))) for each in questions]


def test_all_80_questions_are_there_with_their_temperatures(benchmark_: MTBench, answered: list[Answered]) -> None:
    questions = [each.question for each in answered]
    assert len(questions) == benchmark_.total == 80
    assert {len(each.turns) for each in questions} == {2}
    assert {each.category for each in questions if each.reference} == {"math", "reasoning", "coding"}
    assert all(len(each.reference) == 2 for each in questions if each.reference)
    hot = {each.category: benchmark_.sampled(each).temperature for each in questions}
    assert (hot["writing"], hot["roleplay"], hot["stem"], hot["humanities"]) == (0.7, 0.7, 0.1, 0.1)
    assert {hot[name] for name in ("extraction", "math", "coding", "reasoning")} == {0.0}
    assert {benchmark_.sampled(each).max_new_tokens for each in questions} == {1024}


def test_each_turn_is_graded_in_its_own_words(benchmark_: MTBench, answered: list[Answered]) -> None:
    """The second turn is judged with the first, and a reference answer stands beside those to be checked."""

    def grade(body: Mapping[str, Any]) -> str:
        system, user = (message["content"] for message in body["messages"])
        second = "second to " in user
        assert ("You evaluation should focus on the assistant's answer to the second" in system) == second
        number = int(re.search(r"first to (\d+)", user)[1])  # type: ignore[index]
        checked = number in range(101, 131)
        assert ("eference answer" in user.lower().replace("reference", "eference")) == checked
        if number == 81:
            return "[[90]]" if second else "no rating"
        return f"Rating: [[{9 if second else 4}]]"

    judge = LLMJudge.parse({"model": "judge", "endpoint": {"url": "http://127.0.0.1:1", "attempts": 1}}, "test")
    with serving(grade) as server:
        judge = judge.model_copy(update={"endpoint": judge.endpoint.model_copy(update={"url": server.url})})
        rows = benchmark_.judgments(answered, Judge(judge), benchmark_.opened())
        assert server.calls == 160
        assert {(body["temperature"], body["max_tokens"]) for body in server.seen} == {(0, 2048)}
    assert [(row["question"], row["turn"], row["outcome"]) for row in rows[:4]] == [
        ("81", 0, "unparsed"),
        ("81", 1, "unparsed"),
        ("82", 0, "verdict"),
        ("82", 1, "verdict"),
    ]
    judged = [
        Answered(each.question, each.answer, tuple(row for row in rows if row["question"] == each.question.id))
        for each in answered
    ]
    measured = benchmark_.score(judged, benchmark_.opened())
    assert measured.figures["score"] == pytest.approx(6.5)
    assert (measured.figures["first_turn"], measured.figures["second_turn"]) == (4.0, 9.0)
    ((_, categories),) = measured.records.items()
    assert {row["category"]: row["questions"] for row in categories}["writing"] == 9


def test_an_oracle_that_compares_cannot_grade(benchmark_: MTBench, answered: list[Answered]) -> None:
    with pytest.raises(
        UserError, match=r"^benchmark mt_bench: its judge grades each answer by itself, and rules compares two: set its"
    ):
        benchmark_.judgments(answered[:1], Judge(Rules(function="length:longer")), Data("mt_bench", "/x", ()))


def test_a_recipe_whose_oracle_compares_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"evaluation\.benchmarks: benchmark mt_bench: its judge grades each answer by"):
        load_recipe("quickstart", ["evaluation.benchmarks=[{kind: mt_bench, data: /x}]"])


def test_fastchats_files_of_answers_are_read(benchmark_: MTBench, answered: list[Answered]) -> None:
    questions = [each.question for each in answered]
    rows = [{"question_id": number, "choices": [{"turns": ["one", "two"]}]} for number in (81, 7, 160)]
    said = benchmark_.read_answers("\n".join(map(json.dumps, rows)).encode(), "file", questions)
    assert said == [Answer("81", ("one", "two")), Answer("160", ("one", "two"))]
    own = json.dumps({"question": "81", "turns": ["one", "two"]}).encode()
    assert benchmark_.read_answers(own, "file", questions) == said[:1]
