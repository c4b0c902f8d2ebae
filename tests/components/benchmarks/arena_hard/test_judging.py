"""Arena-Hard's judging: two games in both orders, one more request where there is no verdict, any oracle."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from nashflow.components.benchmarks.arena_hard.benchmark import ArenaHard
from nashflow.components.benchmarks.arena_hard.v2 import ArenaHardV2
from nashflow.components.benchmarks.judge import Judge
from nashflow.components.benchmarks.questions import Answer, Answered, Question, QuestionBenchmark
from nashflow.components.oracles.llm_judge.settings import LLMJudge
from nashflow.components.oracles.rules.settings import Rules
from nashflow.components.storage.records import Judgment
from tests.fixtures.judge_server import JudgeServer, serving


def answered(category: str = "arena-hard-v0.1", count: int = 3) -> list[Answered]:
    return [
        Answered(
            Question(str(number), category, (f"Question {number}?",), opponent=(f"theirs {number}",)),
            Answer(str(number), (f"ours {number}",)),
        )
        for number in range(count)
    ]


def judged(server: JudgeServer, benchmark: QuestionBenchmark, asked: list[Answered]) -> list[Judgment]:
    judge = LLMJudge.parse({"model": "judge", "endpoint": {"url": server.url, "attempts": 1}}, "test")
    return benchmark.judgments(asked, Judge(judge), None)  # type: ignore[arg-type]


def ours_first(body: Mapping[str, Any]) -> bool:
    text = body["messages"][1]["content"]
    return text.index("ours") < text.index("theirs")


def test_the_same_answer_wins_in_both_orders() -> None:
    with serving(lambda body: "Sure: [[A>>B]]" if ours_first(body) else "Well: [[B>A]]") as server:
        rows = judged(server, ArenaHard(data="/nowhere"), answered())
        assert server.calls == 6
        assert {(body["temperature"], body["max_tokens"]) for body in server.seen} == {(0, 4096)}
    assert [(row["question"], row["game"], row["first"], row["verdict"]) for row in rows[:2]] == [
        ("0", 0, False, "B>A"),
        ("0", 1, True, "A>>B"),
    ]
    assert {row["probability"] for row in rows} == {1.0}


def score(rows: list[Judgment], asked: list[Answered], benchmark: QuestionBenchmark) -> Mapping[str, Any]:
    by_question = {each.question.id: [row for row in rows if row["question"] == each.question.id] for each in asked}
    judged = [Answered(each.question, each.answer, tuple(by_question[each.question.id])) for each in asked]
    return benchmark.score(judged, None).figures  # type: ignore[arg-type]


def test_significant_verdicts_weigh_three_and_missing_ones_nothing() -> None:
    said = {"0": "[[A>>B]]", "1": "[[A=B]]", "2": "[[A>B]] or [[B>A]]"}
    with serving(lambda body: said[body["messages"][1]["content"].partition("Question ")[2][0]]) as server:
        benchmark, asked = ArenaHard(data="/nowhere"), answered()
        rows = judged(server, benchmark, asked)
        assert server.calls == 6  # two verdicts are none, and nobody asks again
    assert [row["outcome"] for row in rows] == ["verdict"] * 4 + ["unparsed"] * 2
    figures = score(rows, asked, benchmark)
    assert (figures["score"], figures["wins"], figures["losses"], figures["ties"]) == (50.0, 1, 1, 2)


def test_a_judgment_without_a_verdict_is_followed_up_once() -> None:
    def hesitant(body: Mapping[str, Any]) -> str:
        if len(body["messages"]) == 2:
            return "Hm."
        assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
        assert body["messages"][2]["content"] == "Hm."
        assert body["messages"][3]["content"] == (
            "continue your judgment and finish by outputting a final verdict label"
        )
        return "[[A=B]]" if ours_first(body) else "Hm, hm."

    with serving(hesitant) as server:
        rows = judged(server, ArenaHard(data="/nowhere"), answered(count=1))
        assert server.calls == 4
    assert [(row["outcome"], row["output"]) for row in rows] == [
        ("unparsed", "Hm.\nHm, hm."),
        ("verdict", "Hm.\n[[A=B]]"),
    ]


@pytest.mark.parametrize("category", ["hard_prompt", "creative_writing"])
def test_version_2_takes_the_last_verdict_and_asks_nothing_again(category: str) -> None:
    with serving(lambda body: "[[A>B]] ... no, [a<<b]: [B>>A]" if ours_first(body) else "Hm.") as server:
        benchmark, asked = ArenaHardV2(data="/nowhere"), answered(category)
        rows = judged(server, benchmark, asked)
        assert server.calls == 6
        system = server.seen[0]["messages"][0]["content"]
    assert ("generating your own answer" in system) == (category == "hard_prompt")
    assert [(row["verdict"], row["outcome"]) for row in rows[:2]] == [("", "unparsed"), ("A>B", "verdict")]


def test_version_2_scores_hard_questions_with_their_style() -> None:
    verdicts = iter(["[[A>B]]", "[[B>A]]", "[[A=B]]"] * 100)
    with serving(lambda body: next(verdicts)) as server:
        benchmark = ArenaHardV2(data="/nowhere")
        asked = [*answered("hard_prompt", 12)]
        figures = score(judged(server, benchmark, asked), asked, benchmark)
    assert figures.keys() == {figure.name for figure in benchmark.scored}
    assert figures["style_low"] <= figures["style_controlled"] <= figures["style_high"]


@pytest.mark.parametrize("form", ["uid", "question_id", "question"])
def test_files_of_answers_are_read_in_every_form(form: str) -> None:
    questions = [each.question for each in answered()]
    rows: list[dict[str, Any]] = [
        {
            "uid": {"uid": name, "model": "m", "messages": [{}, {"role": "assistant", "content": {"answer": "text"}}]},
            "question_id": {"question_id": name, "model_id": "m", "choices": [{"turns": [{"content": "text"}]}]},
            "question": {"question": name, "turns": ["text"]},
        }[form]
        for name in ("0", "2")
    ]
    said = ArenaHard(data="/nowhere").read_answers("\n".join(map(json.dumps, rows)).encode(), "file", questions)
    assert said == [Answer("0", ("text",)), Answer("2", ("text",))]


def test_an_oracle_that_does_not_write_plays_both_games_by_its_probabilities() -> None:
    benchmark, asked = ArenaHard(data="/nowhere"), answered(count=2)
    rules = Rules(function=f"{__file__}:longer")
    rows = benchmark.judgments(asked, Judge(rules), None)  # type: ignore[arg-type]
    assert [(row["first"], row["probability"], row["verdict"]) for row in rows] == [
        (True, 0.25, ""),
        (False, 0.25, ""),
    ] * 2
    assert score(rows, asked, benchmark)["score"] == 25.0


def longer(messages: Any, first: str, second: str) -> float:
    return 0.75 if len(first) > len(second) else 0.25
