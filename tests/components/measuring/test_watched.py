"""The judge of a benchmark is watched: a constant answer is judged too, and the training oracle on the same answers."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from nashflow.components.benchmarks.data import Data
from nashflow.components.benchmarks.judge import Judge
from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_index
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.iterations.work import AtWork
from nashflow.components.measuring.answering import File
from nashflow.components.measuring.stages import Done, Stages
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.reports.benchmarks.read import read_report
from nashflow.components.runtime.protocol import Call, StepSettings
from nashflow.components.storage import layout
from nashflow.components.storage.records import Judgment
from nashflow.components.storage.store import Store, open_store
from tests.fixtures.judge_server import serving
from tests.fixtures.toy_benchmark import QUESTIONS, Graded, Letters, written

ASKED = [{**each, "opponent": "a b"} for each in QUESTIONS]


class Paired(Letters):
    """Letters whose answers are compared in both orders, by a judge that a test may sway."""

    compares: ClassVar[bool] = True

    def judgments(self, answered: Any, judge: Judge, data: Data) -> list[Judgment]:
        return self.compared(answered, judge)


class Fooled(Paired):
    """Its judge prefers what is in no language at all."""

    def judgments(self, answered: Any, judge: Judge, data: Data) -> list[Judgment]:
        rows = super().judgments(answered, judge, data)
        fooled = {each.question.id for each in answered if each.answer.turns[0] == "null"}
        return [{**row, "probability": 0.9} if row["question"] in fooled else row for row in rows]


def answers(path: Path, shift: int = 0) -> File:
    """The two letters that the number of a question names, and as many more as `shift` says."""
    letters = "abcde"
    path.write_text(
        "".join(
            f'{{"question": "{each["id"]}", "turns": ["{letters[at % 5]} {letters[(at // 5 + shift) % 5]}"]}}\n'
            for at, each in enumerate(QUESTIONS)
        )
    )
    return File(path)


def carried_out(
    benchmark: Letters, store: Store, tmp_path: Path, oracle: SandboxOracle | None = None, iteration: int = 0
) -> list[Done]:
    at_work = AtWork(Call(store, iteration, "", 0, StepSettings()), "toy")
    said = answers(tmp_path / "said.jsonl", iteration)
    return Stages(store, iteration, at_work, said, oracle, "2026-01-02").carry_out(benchmark)


def paired(tmp_path: Path, kind: type[Letters] = Paired, **settings: Any) -> Letters:
    return kind.parse({"data": written(tmp_path / "data", ASKED), "judge": "sandbox", **settings}, "letters")


def test_a_constant_answer_is_judged_once_and_its_win_rate_is_a_figure(tmp_path: Path) -> None:
    benchmark, store = paired(tmp_path), open_store(str(tmp_path / "run"))
    done = carried_out(benchmark, store, tmp_path)
    metrics = done[-1][0].metrics
    assert metrics["letters/canary_win_rate/sandbox"] < 0.5
    low, high = (metrics[f"letters/canary_win_rate_{end}/sandbox"] for end in ("low", "high"))
    assert low <= metrics["letters/canary_win_rate/sandbox"] <= high
    assert [found for _, found in carried_out(benchmark, store, tmp_path)] == [True] * 5
    report = read_report(store, 0, benchmark, None)
    assert report.canary is not None
    assert report.canary.questions == 20
    assert not any("Do not trust" in warning for warning in report.warnings)


def test_a_judge_that_prefers_it_is_named_and_refused_where_a_limit_says_so(tmp_path: Path) -> None:
    benchmark, store = paired(tmp_path, Fooled), open_store(str(tmp_path / "run"))
    scores, _ = carried_out(benchmark, store, tmp_path)[-1]
    assert scores.metrics["letters/canary_win_rate/sandbox"] == pytest.approx(0.9)
    assert "Do not trust these scores" in read_report(store, 0, benchmark, None).warnings[0]
    strict, other = paired(tmp_path, Fooled, canary_limit=0.5), open_store(str(tmp_path / "other"))
    with pytest.raises(UserError) as refused:
        carried_out(strict, other, tmp_path)
    assert str(refused.value) == (
        "benchmark letters: the judge prefers the constant answer 'null' in 90.0% of 20 questions, above "
        "canary_limit = 0.5: set another judge, or raise that limit (1: none) and run the same command again, which "
        "asks nothing twice"
    )
    again = carried_out(benchmark, other, tmp_path)
    assert [found for _, found in again] == [True] * 4 + [False], "the limit is raised"


def test_the_training_oracle_judges_the_same_answers(tmp_path: Path) -> None:
    oracle = SandboxOracle.parse({"world": {"seed": 5}}, "oracle")
    benchmark, store = paired(tmp_path), open_store(str(tmp_path / "run"))
    *_, scores = (manifest for manifest, _ in carried_out(benchmark, store, tmp_path, oracle))
    correlation = scores.metrics["letters/oracle_correlation/sandbox"]
    assert -0.6 < correlation < 0.6, "two worlds have nothing in common"
    report = read_report(store, 0, benchmark, oracle)
    assert report.correlation is not None
    assert report.correlation.value == correlation
    assert (report.judge.partition("-")[0], report.oracle.partition("-")[0]) == ("sandbox (sandbox",) * 2
    assert report.judge != report.oracle
    own = open_store(str(tmp_path / "own"))
    *_, scores = (manifest for manifest, _ in carried_out(benchmark, own, tmp_path, SandboxOracle()))
    assert scores.metrics["letters/oracle_correlation/sandbox"] == pytest.approx(1)


def test_it_is_not_asked_where_the_recipe_says_so_or_does_not_know_such_prompts(tmp_path: Path) -> None:
    store, oracle = open_store(str(tmp_path / "run")), SandboxOracle()
    done = carried_out(paired(tmp_path, ask_oracle=False), store, tmp_path, oracle)
    assert "letters/oracle_correlation/sandbox" not in done[-1][0].metrics
    assert len(done) == 5
    assert not oracle.judges_such([[{"role": "user", "content": "Why?"}]])
    assert oracle.judges_such([[{"role": "user", "content": "x1"}]])


def test_grades_are_held_against_the_training_oracles_preference_over_the_reference(tmp_path: Path) -> None:
    """A judge whose grades are the exact win rates of answers agrees with the oracle of a transitive world."""
    oracle = SandboxOracle.parse({"world": {"intransitivity": 0}}, "oracle")
    matrix = make_world(WorldSettings(intransitivity=0)).matrix

    def grade(body: Any) -> str:
        name, _, answer = body["messages"][0]["content"].partition(": ")
        context = QUESTIONS[int(name[1:])]["context"]
        mine = response_index(answer) if answer != "null" else 0
        return str(round(1000 * float(matrix[context, mine].mean())))

    store = open_store(str(tmp_path / "run"))
    with serving(grade) as server:
        judge = {"kind": "llm_judge", "model": "j", "endpoint": {"url": server.url}}
        benchmark = paired(tmp_path, Graded, judge=judge)
        first = carried_out(benchmark, store, tmp_path, oracle)
        assert not any("oracle_correlation" in name for name in first[-1][0].metrics), "it is the reference itself"
        done = carried_out(benchmark, store, tmp_path, oracle, iteration=1)
    metrics = done[-1][0].metrics
    low, value, high = (metrics[f"graded/oracle_correlation{end}/j"] for end in ("_low", "", "_high"))
    assert 0.6 < low < value < high
    units = [manifest.unit for manifest, _ in done]
    assert units == [layout.evaluation(t, part) for t, part in zip((0, 1, 1, 0, 1, 1), (
        benchmark.stages[0], *benchmark.stages[1:3], benchmark.canary, benchmark.as_oracle, benchmark.stages[3]
    ), strict=True)]  # fmt: skip
    report = read_report(store, 1, benchmark, oracle)
    assert report.correlation is not None
    assert report.correlation.value == value
    again = carried_out(benchmark, store, tmp_path, oracle, iteration=1)
    assert all(found for _, found in again)


def test_a_policy_is_said_to_be_better_than_the_reference_by_pairs(tmp_path: Path) -> None:
    benchmark, store = paired(tmp_path), open_store(str(tmp_path / "run"))
    for iteration in (0, 1):
        carried_out(benchmark, store, tmp_path, iteration=iteration)
    (gain,) = read_report(store, 1, benchmark, None).gains.values()
    values = [read_report(store, t, benchmark, None).values["letters/win_rate/sandbox"] for t in (1, 0)]
    assert gain.value == pytest.approx(values[0] - values[1])
    assert gain.low < gain.value < gain.high
    assert read_report(store, 0, benchmark, None).gains == {}
