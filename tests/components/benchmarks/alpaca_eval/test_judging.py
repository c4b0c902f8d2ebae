"""AlpacaEval's judging: stored completions, replayed by a server, give the stored preferences again, row by row."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.benchmarks.alpaca_eval.benchmark import AlpacaEval, is_switched
from nashflow.components.benchmarks.data import Data
from nashflow.components.benchmarks.judge import Judge
from nashflow.components.benchmarks.questions import Answer, Answered, Question
from nashflow.components.core.errors import UserError
from nashflow.components.oracles.llm_judge.settings import LLMJudge
from nashflow.components.storage.records import Judgment
from tests.fixtures.judge_server import serving

Choice = dict[str, Any]


def shown(body: Mapping[str, Any]) -> tuple[str, str]:
    """The answers of `m` and of `M` in a request."""
    text = body["messages"][-1]["content"]
    _, _, rest = text.partition('"model_identifier": "m",\n')
    first, _, rest = rest.partition('"model_identifier": "M",\n')
    first, second = (part.partition('"output": """')[2].rpartition('"""\n')[0] for part in (first, rest))
    return first, second


def tokens(**logprobs: float) -> Choice:
    top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
    return {"message": {"content": top[0]["token"] if top else ""}, "logprobs": {"content": [{"top_logprobs": top}]}}


def judged(url: str, answered: list[Answered], **changes: Any) -> list[Judgment]:
    benchmark = AlpacaEval(data="/nowhere")
    endpoint = {"url": url, "attempts": 1}
    judge = Judge(LLMJudge.parse({"model": "replayed", "endpoint": endpoint, **changes}, "test"))
    return benchmark.judgments(answered, judge, None)  # type: ignore[arg-type]


def asked(number: int, opponent: str = "theirs", answer: str = "ours") -> Answered:
    question = Question(str(number), "koala", (f"instruction {number}",), opponent=(opponent,))
    return Answered(question, Answer(str(number), (answer,)))


@pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")
@pytest.mark.parametrize(("model", "every"), [("alpaca-7b", 1), ("vicuna-7b", 5)])
def test_stored_completions_give_the_stored_preferences(model: str, every: int) -> None:
    path = Path(os.environ["NASHFLOW_DATA"], "alpaca_eval", model, "annotations.json")
    rows = json.loads(path.read_text())[::every]
    said = {frozenset((row["output_1"], row["output_2"])): row["raw_completion"] for row in rows}
    answered = [
        Answered(
            Question(str(number), "", (row["instruction"],), opponent=(row["output_1"],)),
            Answer(str(number), (row["output_2"],)),
        )
        for number, row in enumerate(rows)
    ]

    def replay(body: Mapping[str, Any]) -> Choice:
        completion: Choice = said[frozenset(shown(body))]
        return {name: completion[name] for name in ("message", "logprobs", "finish_reason")}

    with serving(replay) as server:
        judgments = judged(server.url, answered)
        assert server.calls == sum(row["output_1"] != row["output_2"] for row in rows)
        assert {(body["max_tokens"], body["temperature"], body["top_logprobs"]) for body in server.seen} == {(1, 1, 5)}
    for row, judgment in zip(rows, judgments, strict=True):
        assert judgment["outcome"] == "verdict"
        assert 1 + judgment["probability"] == pytest.approx(row["preference"], abs=1e-9)
    assert len({judgment["first"] for judgment in judgments}) == 2


def test_both_orders_are_read_with_tokens_that_are_missing() -> None:
    answered = [asked(number) for number in range(12)]
    assert len({is_switched(each.question.turns[0]) for each in answered}) == 2
    with serving(lambda body: tokens(m=-0.5, The=-2.0)) as server:
        for each, judgment in zip(answered, judged(server.url, answered), strict=True):
            first = is_switched(each.question.turns[0])
            assert (judgment["first"], judgment["probability"]) == (first, 1.0 if first else 0.0)
        assert {shown(body) for body in server.seen} == {("ours", "theirs"), ("theirs", "ours")}
    with serving(lambda body: tokens(The=-0.1, Both=-3.0)) as server:
        assert {judgment["outcome"] for judgment in judged(server.url, answered)} == {"unparsed"}


def test_equal_answers_are_a_draw_that_nobody_is_asked_about() -> None:
    with serving(lambda body: tokens(m=-0.1)) as server:
        (judgment,) = judged(server.url, [asked(0, "same", "same")])
        assert (judgment["outcome"], judgment["probability"], server.calls) == ("verdict", 0.5, 0)


def test_a_judge_without_log_probabilities_is_named() -> None:
    with serving(lambda body: "m") as server, pytest.raises(UserError) as caught:
        judged(server.url, [asked(0)], model="some/silent-judge")
    assert str(caught.value) == (
        "benchmark alpaca_eval: its judge, silent-judge, gives no log-probabilities of tokens, which the benchmark "
        "reads: set judge to one whose server gives them, or to an oracle of another kind"
    )


def test_model_outputs_are_answers_by_their_instructions() -> None:
    questions = [asked(number).question for number in range(3)]
    rows = [{"instruction": f"instruction {number}", "output": str(number)} for number in (2, 9, 0)]
    said = AlpacaEval(data="/nowhere").read_answers(json.dumps(rows).encode(), "file", questions)
    assert said == [Answer("2", ("2",)), Answer("0", ("0",))]


def said_of(probability: float) -> Judgment:
    return Judgment(
        question="", turn=0, game=0, first=True, outcome="verdict", verdict="m", probability=probability, grade=0.0,
        output="", judge="",
    )  # fmt: skip


def test_figures_are_those_that_are_declared() -> None:
    both = [Answered(each.question, each.answer, (said_of(0.75),)) for each in (asked(0), asked(1))]
    measured = AlpacaEval(data="/nowhere").score(both, Data("alpaca_eval", "/nowhere", AlpacaEval.files))
    assert measured.figures.keys() == {figure.name for figure in AlpacaEval.scored}
    assert (measured.figures["win_rate"], measured.figures["lc_win_rate"]) == (75.0, None)


def test_lengths_are_controlled_where_the_tables_are(tmp_path: Path) -> None:
    """Instructions are known by their places in the benchmark, though few of them are asked."""
    hard = [f"{place},{(place * 37 % 101) / 25 - 2}" for place in range(805)]
    (tmp_path / "instruction_difficulty.csv").write_text("\n".join([",instruction_difficulty", *hard]))
    gamed = [f"{0.2 + place % 7 / 10},{place % 5 - 2},{place % 3 - 1},{place}" for place in range(60)]
    heading = "preference,std_delta_len,instruction_difficulty,index"
    (tmp_path / "df_gamed.csv").write_text("\n".join([heading, *gamed]))
    judged = []
    for number in range(0, 800, 10):
        each = asked(number, "theirs " * 5, "ours " * (number % 9 + 1))
        judged.append(Answered(each.question, each.answer, (said_of(number % 9 / 10),)))
    data = Data("alpaca_eval", str(tmp_path), AlpacaEval.files)
    figures = AlpacaEval(data=str(tmp_path)).score(judged, data).figures
    assert figures["lc_win_rate_low"] < figures["lc_win_rate"] < figures["lc_win_rate_high"]  # type: ignore[operator]
    assert figures["lc_win_rate"] != pytest.approx(figures["win_rate"], abs=1e-3)
    (tmp_path / "instruction_difficulty.csv").write_text("\n".join([",instruction_difficulty", *hard[:-1]]))
    altered = Data("alpaca_eval", str(tmp_path), AlpacaEval.files)
    with pytest.raises(UserError, match="about 804 instructions, not 805: they are those of another version"):
        AlpacaEval(data=str(tmp_path)).score(judged, altered)
