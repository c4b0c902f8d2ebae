"""The stages of a benchmark of questions: what they make, and what makes them work again."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.benchmarks.questions import Answer, QuestionBenchmark
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.work import AtWork
from nashflow.components.measuring.answering import Answering, File, Policy
from nashflow.components.measuring.stages import Done, Stages
from nashflow.components.models.dialogues import TemplateSettings
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.models.identity import policy_digest
from nashflow.components.models.policies import LocalPolicy
from nashflow.components.models.weights import weights_digest
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.runtime.protocol import Call, StepRun, StepSettings
from nashflow.components.sampling.rollouts import Samplers
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.components.storage import layout
from nashflow.components.storage.records import ANSWERS, CATEGORIES, JUDGMENTS, QUESTIONS
from nashflow.components.storage.store import Store, open_store
from tests.fixtures import toy_benchmark
from tests.fixtures.judge_server import INPUT, JudgeServer, serving
from tests.fixtures.runs import SandboxRun
from tests.fixtures.toy_benchmark import Graded, Letters, written

SANDBOX = {"kind": "sandbox"}


@pytest.fixture
def folder(prepared_root: SandboxRun) -> Path:
    return prepared_root.folder("000/main")


def stages(store: Store, answering: Answering, iteration: int = 0) -> Stages:
    at_work = AtWork(Call(store, iteration, "", 0, StepSettings()), "toy")
    return Stages(store, iteration, at_work, answering, None, "2026-01-02")


def carried_out(benchmark: QuestionBenchmark, root: Path, folder: Path, iteration: int = 0, **run: Any) -> list[Done]:
    """The stages with the policy of a folder."""
    settings = GenerationSettings(dtype="float64", max_new_tokens=3, batch_size=16)
    with Samplers(settings, cache(load_causal_lm), TemplateSettings(), "2026-01-02") as samplers:
        policy = Policy(
            samplers,
            LocalPolicy(folder, weights_digest(folder), policy_digest(folder)),
            StepRun(**run),
            TemplateSettings(),
        )
        return stages(open_store(str(root)), policy, iteration).carry_out(benchmark)


def letters(tmp_path: Path, **settings: Any) -> Letters:
    data = written(tmp_path / "data")
    return Letters.parse({"data": data, "judge": SANDBOX, "ask_oracle": False, **settings}, "letters")


def test_each_stage_is_a_unit_of_work(folder: Path, tmp_path: Path) -> None:
    benchmark, root = letters(tmp_path), tmp_path / "run"
    done = carried_out(benchmark, root, folder)
    assert [manifest.unit for manifest, _ in done] == [layout.evaluation(0, part) for part in benchmark.units(0)]
    assert not any(found for _, found in done)
    questions, answers, judgments, _, scores = (manifest for manifest, _ in done)
    store = open_store(str(root))
    said = answers.rows(store, ANSWERS)
    assert [row["question"] for row in said] == [f"q{number}" for number in range(40)]
    assert all(row["bos"] == [1] and row["finish"] == ["stop"] and row["tokens"] == [3] for row in said)
    even = {row["turns"][0] for row in said if row["question"] in ("q0", "q8", "q16")}
    assert len(even) == 1, "the same question, greedily"
    odd = {row["turns"][0] for row in said if int(row["question"][1:]) % 8 == 1}
    assert len(odd) > 1, "each with a seed of its own"
    oracle = SandboxOracle().load()
    rows = judgments.rows(store, JUDGMENTS)
    expected = [
        oracle.compare([toy_benchmark.Query([{"role": "user", "content": f"x{n % 8}"}], row["turns"][0], "a b")])[0]
        for n, row in enumerate(said)
    ]
    assert [row["probability"] for row in rows] == [verdict.probability for verdict in expected]
    assert scores.metrics["letters/win_rate/sandbox"] == pytest.approx(sum(row["probability"] for row in rows) / 40)
    assert answers.metrics["letters/answers"] == 40
    assert answers.metrics["letters/mean_tokens"] == 3
    assert judgments.metrics == {"letters/judgments/sandbox": 40, "letters/no_verdict/sandbox": 0}
    assert [row["category"] for row in scores.rows(store, CATEGORIES)] == ["even", "odd"]
    assert len(questions.rows(store, QUESTIONS)) == 40


def test_figures_are_declared_by_their_names(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in letters(tmp_path, questions=5).measures(None)}
    assert figures["letters-5/win_rate/sandbox"].interval == (
        "letters-5/win_rate_low/sandbox",
        "letters-5/win_rate_high/sandbox",
    )
    assert {"letters-5/cut", "letters-5/no_verdict/sandbox"} <= figures.keys()


def test_finished_stages_are_found_by_another_iteration_but_for_its_own(folder: Path, tmp_path: Path) -> None:
    benchmark, root = letters(tmp_path), tmp_path / "run"
    carried_out(benchmark, root, folder)
    assert all(found for _, found in carried_out(benchmark, root, folder))
    later = carried_out(benchmark, root, folder, iteration=2)
    assert [found for _, found in later] == [True, False, False, True, False], "the constant answer is judged once"
    assert [manifest.unit for manifest, found in later if not found] == [
        layout.evaluation(2, part) for part in benchmark.units(2)
    ]
    first = carried_out(benchmark, root, folder)
    assert first[1][0].digest == later[1][0].digest, "one policy answers alike in every iteration"


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"questions": 10}, [False, False, False, False, False]),
        ({"max_new_tokens": 2}, [True, False, False, False, False]),
        ({"judge": {"kind": "sandbox", "world": {"seed": 5}}}, [True, True, False, False, False]),
        ({"every": "final"}, [True, True, True, True, True]),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it(
    changed: Mapping[str, Any], again: list[bool], folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    carried_out(letters(tmp_path), root, folder)
    assert [found for _, found in carried_out(letters(tmp_path, **changed), root, folder)] == again


def test_a_file_that_scores_alone_read_redoes_the_scores_alone(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    carried_out(letters(tmp_path), root, folder)
    (tmp_path / "data" / "weights.json").write_text("[1]")
    assert [found for _, found in carried_out(letters(tmp_path), root, folder)] == [True, True, True, True, False]


def test_the_place_of_the_files_says_nothing(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    carried_out(letters(tmp_path), root, folder)
    elsewhere = Letters.parse({"data": written(tmp_path / "elsewhere"), "judge": SANDBOX}, "letters")
    assert all(found for _, found in carried_out(elsewhere, root, folder))


def test_questions_are_taken_evenly(tmp_path: Path) -> None:
    benchmark = letters(tmp_path, questions=4)
    assert [question.id for question in benchmark.asked(benchmark.opened())] == ["q0", "q10", "q20", "q30"]


# --- killed ----------------------------------------------------------------------------------------------------------


def test_answers_go_on_where_they_were_stopped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", "0")
    whole = carried_out(letters(tmp_path), tmp_path / "whole", folder)
    responses, given = Samplers.responses, []

    def stopping(self: Samplers, *arguments: Any, **options: Any) -> Iterator[Any]:
        for batch in responses(self, *arguments, **options):
            if len(given) == 2:
                raise KeyboardInterrupt
            given.append(len(batch))
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Samplers, "responses", stopping)
        with pytest.raises(KeyboardInterrupt):
            carried_out(letters(tmp_path), tmp_path / "run", folder)
    assert given == [16, 4]

    def counting(self: Samplers, policy: Path, dialogues: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        given.append(len(dialogues))
        return responses(self, policy, dialogues, *arguments, **options)

    monkeypatch.setattr(Samplers, "responses", counting)
    resumed = carried_out(letters(tmp_path), tmp_path / "run", folder)
    assert sum(given) == 40
    assert [manifest.digest for manifest, _ in resumed] == [manifest.digest for manifest, _ in whole]


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    """Its grades are the numbers of the questions, modulo ten."""
    with serving(judge=lambda body: str(int(body["messages"][0]["content"].partition(":")[0][1:]) % 10)) as made:
        yield made


def graded(tmp_path: Path, server: JudgeServer, **settings: Any) -> Graded:
    endpoint = {"url": server.url, "concurrency": 2, "attempts": 1, "prices": {"input": 1.0}}
    judge = {"kind": "llm_judge", "model": "org/judge-1", "endpoint": endpoint}
    return Graded.parse({"data": written(tmp_path / "data"), "judge": judge, **settings}, "graded")


def test_a_judge_is_asked_in_the_benchmarks_own_words(folder: Path, tmp_path: Path, server: JudgeServer) -> None:
    done = carried_out(graded(tmp_path, server), tmp_path / "run", folder)
    assert done[-1][0].metrics["graded/grade/judge-1"] == 4.5
    used = {"usage_calls": 40, "usage_input_tokens": 40 * INPUT}
    assert used.items() <= done[2][0].metrics.items()
    assert all(
        (body["max_tokens"], body["temperature"], body["model"]) == (8, 0, "org/judge-1") for body in server.seen
    )


def test_nothing_is_asked_twice(
    folder: Path, tmp_path: Path, server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", "0")
    server.faults = ("",) * 11 + ('{"status": 401}',) + ("",) * 200
    with pytest.raises(UserError, match="401"):
        carried_out(graded(tmp_path, server), tmp_path / "run", folder)
    done = carried_out(graded(tmp_path, server), tmp_path / "run", folder)
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 40 + 20, "and the constant answer to every second question"
    assert done[2][0].metrics["usage_calls"] == 40
    assert done[-1][0].metrics["graded/grade/judge-1"] == 4.5


def test_a_judge_that_answers_in_prose_is_refused(folder: Path, tmp_path: Path, server: JudgeServer) -> None:
    server.judge = lambda body: "Both are\nfine."
    with pytest.raises(UserError) as caught:
        carried_out(graded(tmp_path, server), tmp_path / "run", folder)
    assert str(caught.value) == (
        "benchmark graded: none of 40 judgments has a verdict: 40 unparsed, such as 'Both are fine.': set judge to one "
        "that answers in the benchmark's form"
    )


# --- answers of a file -----------------------------------------------------------------------------------------------


def answers_file(path: Path, ids: list[int], text: str = "b a") -> Path:
    path.write_text("".join(json.dumps({"question": f"q{number}", "turns": [text]}) + "\n" for number in ids))
    return path


def test_answers_come_from_a_file(tmp_path: Path) -> None:
    path = answers_file(tmp_path / "answers.jsonl", [*range(39, -1, -1)], "a b")
    store = open_store(str(tmp_path / "run"))
    done = stages(store, File(path)).carry_out(letters(tmp_path))
    assert done[-1][0].metrics["letters/win_rate/sandbox"] == 0.5, "the opponent's own answers"
    assert done[1][0].rows(store, ANSWERS)[0] == Answer("q0", ("a b",)).row()
    answers_file(path, [*range(40)], "c c")
    assert [found for _, found in stages(store, File(path)).carry_out(letters(tmp_path))] == [
        True,
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([*range(39)], "has no answer to 1 of 40 questions of letters, such as 'q39': add them"),
        ([*range(40), 7], "answers the question 'q7' twice: remove one of the two"),
    ],
)
def test_missing_and_doubled_answers_are_refused(ids: list[int], said: str, tmp_path: Path) -> None:
    path = answers_file(tmp_path / "answers.jsonl", ids)
    with pytest.raises(UserError, match=said) as caught:
        stages(open_store(str(tmp_path / "run")), File(path)).carry_out(letters(tmp_path))
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question": "q0", "turns": ["a"]}\n{"question": "q1", "answer": "a"}\n')
    with pytest.raises(UserError, match=r"answers.jsonl, line 2: no answer: write \{\"question\": its id"):
        stages(open_store(str(tmp_path / "run")), File(path)).carry_out(letters(tmp_path))
