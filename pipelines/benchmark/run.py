"""`nashflow benchmark run`: measure a model folder, or a file of answers, as the evaluation of a run would."""

import json
import signal
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from nashflow.components.benchmarks import AnyBenchmark
from nashflow.components.benchmarks.base import BenchmarkSettings, Figure, FolderBenchmark, Subject
from nashflow.components.benchmarks.questions import QuestionBenchmark, read_answered
from nashflow.components.core.errors import Pending, UserError
from nashflow.components.core.overrides import override
from nashflow.components.core.settings import Settings
from nashflow.components.iterations.work import AtWork
from nashflow.components.measuring.answering import Answering, File, Policy
from nashflow.components.measuring.stages import Stages, measure_folder
from nashflow.components.models.dialogues import TemplateSettings
from nashflow.components.models.folders import (
    check_causal_lm,
    load_causal_lm,
    require_chat_template,
)
from nashflow.components.models.identity import policy_digest
from nashflow.components.models.policies import LocalPolicy
from nashflow.components.models.weights import weights_digest
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.oracles.usage import PREFIX, total_usage
from nashflow.components.reports.benchmarks.files import policy_files
from nashflow.components.reports.benchmarks.page import PolicyReport
from nashflow.components.reports.benchmarks.read import read_report
from nashflow.components.reports.plain import plain
from nashflow.components.reports.table import show
from nashflow.components.runtime.protocol import Call, StepRun, StepSettings, pin_threads, terminate
from nashflow.components.runtime.voice import log_format, speaking
from nashflow.components.sampling.rollouts import Samplers
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.components.storage.records import CATEGORIES, JUDGMENTS
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Manifest

from ..plain_table import print_table
from ..recipe import load_oracle
from ..tables import print_place
from ..terminal import terminal
from .kinds import benchmark_of

SCORES, ANSWERS, JUDGED, REPORT = "scores.json", "answers.jsonl", "judgments.jsonl", "report"
"""What is written besides the units of work."""
_BEGUN = "begun"


class Wanted(NamedTuple):
    """What the command line says."""

    name: str
    output: str
    model: Path | None
    answers: Path | None
    judge: str
    oracle: str
    """By which the model was trained; empty: it is not asked."""
    data: str
    questions: int | None
    overrides: Sequence[str]


class _Asked(Settings):
    """The sections of a recipe that a benchmark by itself reads."""

    benchmark: AnyBenchmark
    rollout: GenerationSettings = GenerationSettings()
    policy: TemplateSettings = TemplateSettings()
    run: StepRun = StepRun()


def run_benchmark(wanted: Wanted, as_json: bool) -> None:
    """Measure, or go on where the same command was stopped; write the figures, answers and judgments, and print them.

    Raises:
        UserError: the benchmark, its files, the model, the answers or the judge cannot be used.
    """
    asked = _read(wanted)
    benchmark, output, oracle = asked.benchmark, open_store(wanted.output), _oracle(wanted, asked.benchmark)
    benchmark.check()
    policy = _policy(wanted.model) if wanted.model else None
    store = output.at("run")
    store.create(_BEGUN, date.today().isoformat().encode())
    signal.signal(signal.SIGTERM, terminate)
    pin_threads(asked.run.threads)
    with speaking({"step": benchmark.name, "iteration": 0, "shard": 0, "phase": ""}, log_format("text")):
        try:
            made = _measured(asked, policy, wanted.answers, oracle, store)
        except Pending:
            raise UserError(
                f"benchmark {wanted.name}: people have to judge first, whom runs alone wait for: name the benchmark in "
                "evaluation.benchmarks of a recipe, or give another judge"
            ) from None
    if isinstance(benchmark, QuestionBenchmark):
        _write_rows(output, store, benchmark, made)
    record = _record(wanted, benchmark, store, made)
    _write_report(wanted, benchmark, oracle, store, output, made)
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    output.write(SCORES, text.encode())
    if as_json:
        print(text)
    else:
        _print(record, benchmark.measures(None), output)


def _oracle(wanted: Wanted, benchmark: BenchmarkSettings) -> OracleSettings | None:
    """The training oracle, if it is asked about the same answers as the judge."""
    if not wanted.oracle:
        return None
    if not (isinstance(benchmark, QuestionBenchmark) and benchmark.asks_oracle_at(0)):
        raise UserError(
            f"benchmark {wanted.name}: no judge compares its answers with others, so that --oracle has nothing to say: "
            "remove it"
        )
    oracle = load_oracle(wanted.oracle)
    oracle.check()
    oracle.require_here()
    return oracle


def _measured(
    asked: _Asked, policy: LocalPolicy | None, answers: Path | None, oracle: OracleSettings | None, store: Store
) -> list[Manifest]:
    """The units of work, on the day on which the first attempt began."""
    benchmark, day, load = asked.benchmark, store.read(_BEGUN).decode(), cache(load_causal_lm)
    at_work = AtWork(Call(store, 0, "", 0, StepSettings()), benchmark.name)
    if isinstance(benchmark, FolderBenchmark):
        assert policy, "the command line is checked"
        subject = Subject(policy=policy, rollout=asked.rollout, template=asked.policy, day=day, load=load)
        return [measure_folder(store, 0, at_work, benchmark, subject, asked.run)[0]]
    assert isinstance(benchmark, QuestionBenchmark), "the command line is checked"
    with Samplers(asked.rollout, load, asked.policy, day) as samplers:
        answering = _answering(asked, samplers, policy, answers)
        return [each for each, _ in Stages(store, 0, at_work, answering, oracle, day).carry_out(benchmark)]


def _read(wanted: Wanted) -> _Asked:
    kind = benchmark_of(wanted.name)
    if not issubclass(kind, QuestionBenchmark | FolderBenchmark):
        raise UserError(
            f"benchmark {wanted.name}: it measures policies of a run by its reference and prompts: name it in "
            "evaluation.benchmarks of a recipe"
        )
    given = {"data": wanted.data, "questions": wanted.questions}
    data: dict[str, Any] = {
        "benchmark": {"kind": kind.model_fields["kind"].default, **{key: each for key, each in given.items() if each}}
    }
    if wanted.judge:
        data["benchmark"]["judge"] = load_oracle(wanted.judge).model_dump(mode="json")
    override(data, wanted.overrides, _Asked)
    asked = _Asked.parse(data, f"benchmark {wanted.name}")
    _check(wanted, asked.benchmark)
    asked.rollout.engine.require_here()
    for oracle in asked.benchmark.oracles:
        oracle.require_here()
    return asked


def _check(wanted: Wanted, benchmark: BenchmarkSettings) -> None:
    """Raise unless there is one source of answers, and a judge if one is needed."""
    if (wanted.model is None) == (wanted.answers is None):
        raise UserError("give either --model, a model folder that answers, or --answers, a file of answers")
    if isinstance(benchmark, QuestionBenchmark):
        if benchmark.asks_judge and not benchmark.judge:
            raise UserError(f"benchmark {wanted.name}: a judge decides its figures: give --judge ORACLE.yaml")
        if wanted.judge and not benchmark.asks_judge:
            raise UserError(f"benchmark {wanted.name}: rules decide its figures: remove --judge")
    elif wanted.answers:
        raise UserError(f"benchmark {wanted.name}: it measures a model by more than its answers: give --model")


def _answering(asked: _Asked, samplers: Samplers, policy: LocalPolicy | None, answers: Path | None) -> Answering:
    if policy:
        return Policy(samplers, policy, asked.run, asked.policy)
    assert answers, "the command line is checked"
    return File(answers)


def _policy(folder: Path) -> LocalPolicy:
    check_causal_lm(folder)
    require_chat_template(folder)
    return LocalPolicy(folder, weights_digest(folder), policy_digest(folder))


def _write_rows(output: Store, store: Store, benchmark: QuestionBenchmark, made: Sequence[Manifest]) -> None:
    """Write answers and judgments as JSON lines; --answers and versus take the answers."""
    questions, answers, judgments = made[:3]
    said = [
        {
            "question": each.question.id,
            "category": each.question.category,
            "turns": list(each.answer.turns),
            "messages": benchmark.whole(each.question, each.answer),
        }
        for each in read_answered(store, questions, answers)
    ]
    for name, rows in ((ANSWERS, said), (JUDGED, judgments.rows(store, JUDGMENTS))):
        output.write(name, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())


def _write_report(
    wanted: Wanted,
    benchmark: BenchmarkSettings,
    oracle: OracleSettings | None,
    store: Store,
    output: Store,
    made: Sequence[Manifest],
) -> None:
    """Write the page and the JSON that a run's evaluation would."""
    digest = next((each.inputs["policy"] for each in made if "policy" in each.inputs), "")
    report = PolicyReport(str(wanted.model or wanted.answers), digest, [read_report(store, 0, benchmark, oracle)])
    for end, data in policy_files(report).items():
        output.write(f"{REPORT}{end}", data)


def _record(wanted: Wanted, benchmark: BenchmarkSettings, store: Store, made: Sequence[Manifest]) -> dict[str, Any]:
    metrics = [manifest.metrics for manifest in made]
    figures = {name: value for each in metrics for name, value in each.items() if not name.startswith(PREFIX)}
    categories = [row for each in made if CATEGORIES.name in each.files for row in each.rows(store, CATEGORIES)]
    return {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "settings": benchmark.identity(),
        "model": str(wanted.model or wanted.answers),
        "judges": [{"name": each.short_name, "signature": each.signature} for each in benchmark.oracles],
        "figures": plain(figures),
        "categories": plain(categories),
        "usage": total_usage(metrics),
        "inputs": {name: digest for each in made for name, digest in each.inputs.items()},
        "seconds": round(sum(each.seconds for each in made), 3),
    }


def _print(record: Mapping[str, Any], figures: Sequence[Figure], output: Store) -> None:
    console, values = terminal(), record["figures"]
    ends = {end for figure in figures for end in (*(figure.interval or ()), figure.error)}
    rows = [
        (figure.name, show(values.get(figure.name), figure.digits), _interval(values, figure))
        for figure in figures
        if figure.name not in ends and (not figure.fault or values.get(figure.name))
    ]
    print_table(console, f"{record['benchmark']} of {record['model']}", ("figure", "value", "95 % interval"), rows)
    print_place(console, "scores", output.location(SCORES))
    print_place(console, "report", output.location(f"{REPORT}.html"))


def _interval(values: Mapping[str, float | None], figure: Figure) -> str:
    if values.get(figure.name) is None:
        return ""
    if figure.interval:
        low, high = (show(values.get(end), figure.digits) for end in figure.interval)
        return f"{low} to {high}"
    return f"± {show(values.get(figure.error), figure.digits)} (standard error)" if figure.error else ""
