"""The stages of a benchmark of questions: questions → answers → judgments → scores, each a unit of work of its own.

A unit goes on where an earlier attempt was stopped: answers and judgments are journalled, and nothing is asked twice.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from ..benchmarks.base import BenchmarkSettings, FolderBenchmark, Measured, Subject
from ..benchmarks.canary import NULL, Canary, canary_answers
from ..benchmarks.data import Data
from ..benchmarks.judge import Judge
from ..benchmarks.questions import Answered, Question, QuestionBenchmark, beside, lengths_of, read_answered
from ..benchmarks.watched import read_canary, read_correlation
from ..core.digests import sha256_bytes
from ..core.errors import UserError, one_line
from ..core.settings import named_by
from ..iterations.work import AtWork, Work
from ..oracles.oracle_settings import OracleSettings
from ..oracles.unanswered import Unanswered, waiting
from ..oracles.usage import total_usage, used_since
from ..runtime.progress import Progress
from ..runtime.protocol import StepRun
from ..storage import layout
from ..storage.journal import Journal
from ..storage.records import ANSWERS, JUDGMENTS, QUESTIONS, Judgment
from ..storage.run import without_endpoints
from ..storage.store import Store
from ..storage.units import Manifest, Unit, require_manifest
from .answering import Answering

_PIECE = 32
"""Answers of one entry of the journal, where fewer would keep the judge busy."""
_SAID = 80
"""Characters of a judge's words that are shown."""

Done = tuple[Manifest, bool]
"""A unit's manifest, and whether the unit was found finished."""
_Ask = Callable[[Sequence[Answered], Judge], list[Judgment]]
"""What a judge is asked about some answers."""


@dataclass(frozen=True)
class Stages:
    """Measures by benchmarks of questions."""

    store: Store
    iteration: int
    at_work: AtWork
    answering: Answering
    oracle: OracleSettings | None
    """Judges for benchmarks without a judge of their own."""
    day: str
    """The ISO date that a judge's chat template writes."""

    def carry_out(self, benchmark: QuestionBenchmark) -> list[Done]:
        """The stages, in their order.

        Raises:
            UserError: a file is missing or altered, an answer is missing, or no judgment has a verdict.
            Pending: somebody outside has to judge.
        """
        data = benchmark.opened()
        questions = self._questions(benchmark, data)
        answers = self._answers(benchmark, questions[0])
        judgments = self._judgments(benchmark, data, questions[0], answers[0])
        made = {"questions": questions, "answers": answers, "judgments": judgments}
        if benchmark.asks_judge:
            made["canary"] = self._canary(benchmark, data, questions[0])
        read = {name: manifest for name, (manifest, _) in made.items()}
        if benchmark.asks_oracle_at(self.iteration) and self.oracle:
            made["oracle"] = self._as_oracle(benchmark, self.oracle, questions[0], answers[0])
            read["oracle"] = made["oracle"][0]
            if not benchmark.compares:
                read["reference"] = require_manifest(self.store, layout.evaluation(0, benchmark.stages[2]))
        return [*made.values(), self._scores(benchmark, data, read)]

    def _questions(self, benchmark: QuestionBenchmark, data: Data) -> Done:
        settings = {"kind": benchmark.kind, "questions": benchmark.questions}
        unit = self._unit(benchmark, benchmark.stages[0], settings, benchmark.asked_from(data), shared=True)
        return self.at_work.carry_out(
            unit, lambda work: work.publish({QUESTIONS: (each.row() for each in benchmark.asked(data))}, {})
        )

    def _answers(self, benchmark: QuestionBenchmark, questions: Manifest) -> Done:
        def answer(work: Work) -> Manifest:
            said = self.answering.answers(benchmark, self._questions_of(questions), work.journal)
            return work.publish({ANSWERS: (each.row() for each in said)}, lengths_of(benchmark.name, said))

        settings = {"benchmark": benchmark.identity("judge"), "answering": self.answering.settings(benchmark)}
        inputs = {"questions": questions.digest, **self.answering.inputs()}
        return self.at_work.carry_out(self._unit(benchmark, benchmark.stages[1], settings, inputs), answer)

    def _judgments(self, benchmark: QuestionBenchmark, data: Data, questions: Manifest, answers: Manifest) -> Done:
        oracle = self._judge_of(benchmark)
        inputs = {"questions": questions.digest, "answers": answers.digest}
        unit = self._asking(benchmark, benchmark.stages[2], data, oracle, inputs)

        def judge(work: Work) -> Manifest:
            answered = read_answered(self.store, questions, answers)
            used = self._judge(work, oracle, answered, benchmark.calls, _in_own_words(benchmark, data))
            outcomes = [row["outcome"] for row in _rows(work)]
            counts = {"judgments": len(outcomes), "no_verdict": sum(outcome != "verdict" for outcome in outcomes)}
            figures = {benchmark.figure(name, oracle): count for name, count in counts.items()}
            return work.publish({JUDGMENTS: _rows(work)}, {**figures, **used})

        return self.at_work.carry_out(unit, judge)

    def _canary(self, benchmark: QuestionBenchmark, data: Data, questions: Manifest) -> Done:
        """What the judge says of a constant answer."""
        oracle = self._judge_of(benchmark)
        inputs = {"questions": questions.digest, "answer": sha256_bytes(NULL.encode())}
        unit = self._asking(benchmark, benchmark.canary, data, oracle, inputs, shared=True)

        def judge(work: Work) -> Manifest:
            answered = canary_answers(self._questions_of(questions))
            used = self._judge(work, oracle, answered, benchmark.calls, _in_own_words(benchmark, data))
            return work.publish({JUDGMENTS: _rows(work)}, used)

        return self.at_work.carry_out(unit, judge)

    def _as_oracle(
        self, benchmark: QuestionBenchmark, oracle: OracleSettings, questions: Manifest, answers: Manifest
    ) -> Done:
        """What the training oracle says of the same answers, for all judges; none of prompts that it does not know."""
        oracle = oracle.dated(self.day)
        others = None if benchmark.compares else self._reference_of(benchmark)
        inputs = {"questions": questions.digest, "answers": answers.digest}
        inputs |= {"reference": others.digest} if others else {}
        settings = {"oracle": without_endpoints(oracle.model_dump(mode="json"))}
        inputs |= {"oracle": oracle.digest(), "date": self.day}
        unit = self._unit(benchmark, benchmark.as_oracle, settings, inputs)

        def judge(work: Work) -> Manifest:
            answered = read_answered(self.store, questions, answers)
            if others:
                answered = beside(answered, read_answered(self.store, questions, others))
            if not oracle.judges_such(benchmark.dialogue(each.question, ()) for each in answered):
                answered = []
            used = self._judge(work, oracle, answered, 2, benchmark.compared)
            return work.publish({JUDGMENTS: _rows(work)}, used)

        return self.at_work.carry_out(unit, judge)

    def _reference_of(self, benchmark: QuestionBenchmark) -> Manifest:
        """The reference's answers."""
        return require_manifest(self.store, layout.evaluation(0, benchmark.stages[1]))

    def _asking(
        self,
        benchmark: QuestionBenchmark,
        part: str,
        data: Data,
        oracle: OracleSettings | None,
        inputs: Mapping[str, str],
        *,
        shared: bool = False,
    ) -> Unit:
        """A unit of judgments, of an oracle's or by rules."""
        settings = {"benchmark": benchmark.identity()}
        inputs = {**benchmark.asked_from(data), **benchmark.judged_with(), **inputs}
        if oracle:
            settings["judge"] = without_endpoints(oracle.model_dump(mode="json"))
            inputs = {**inputs, "judge": oracle.digest(), "date": self.day}
        return self._unit(benchmark, part, settings, inputs, shared=shared)

    def _judge(
        self, work: Work, oracle: OracleSettings | None, answered: Sequence[Answered], calls: int, ask: _Ask
    ) -> dict[str, float]:
        """Fill the journal with the judgments; what the judge has used for them, as counts."""
        self.answering.close()  # the judge may need the accelerator's memory
        judge, done = Judge(oracle, self.store), sum(entry["answers"] for entry in work.journal)
        with (
            waiting(self.store, f"benchmark-{self.iteration:03d}-{work.unit.key.replace('/', '-')}"),
            Progress("judgments", len(answered), done) as progress,
        ):
            while left := answered[done:]:
                piece, before = left[: max(judge.fills // calls, _PIECE)], dict(judge.usage)
                judge.begin(f"{work.unit.name}/{done}")
                try:
                    rows = ask(piece, judge)
                except Unanswered:
                    ask(left, judge)  # so that all open questions are exported
                    raise
                work.journal.append({"rows": rows, "answers": len(piece), "used": used_since(judge, before)})
                done += len(piece)
                progress.add(len(piece))
        return total_usage(entry["used"] for entry in work.journal)

    def _scores(self, benchmark: QuestionBenchmark, data: Data, made: Mapping[str, Manifest]) -> Done:
        def score(work: Work) -> Manifest:
            judged = read_answered(self.store, made["questions"], made["answers"], made["judgments"])
            _require_verdict(benchmark, judged)
            measured = benchmark.score(judged, data)
            short = {**measured.figures, **self._watched(benchmark, judged, made)}
            figures = {benchmark.figure(name, self.oracle): value for name, value in short.items()}
            declared = {figure.name for figure in benchmark.measures(self.oracle)}
            return publish(work, benchmark, replace(measured, figures=figures), declared)

        inputs = {**data.digests, **{name: manifest.digest for name, manifest in made.items()}}
        unit = self._unit(benchmark, benchmark.stages[3], {"benchmark": benchmark.identity()}, inputs)
        return self.at_work.carry_out(unit, score)

    def _watched(
        self, benchmark: QuestionBenchmark, judged: Sequence[Answered], made: Mapping[str, Manifest]
    ) -> dict[str, float]:
        """The figures by which the judge can be trusted or not.

        Raises:
            UserError: it prefers the constant answer more often than the limit allows.
        """
        figures: dict[str, float] = {}
        if canary := read_canary(self.store, judged, made):
            _require_sober(benchmark, canary)
            figures |= _with_ends("canary_win_rate", canary.win_rate, canary.low, canary.high)
        if found := read_correlation(self.store, judged, made):
            figures |= _with_ends("oracle_correlation", found.value, found.low, found.high)
        return figures

    def _questions_of(self, questions: Manifest) -> list[Question]:
        return [Question.of(row) for row in questions.rows(self.store, QUESTIONS)]

    def _unit(
        self,
        benchmark: QuestionBenchmark,
        part: str,
        settings: Any,
        inputs: Mapping[str, str],
        *,
        shared: bool = False,
    ) -> Unit:
        """The unit of a stage; a shared one is iteration 0's."""
        key = layout.evaluation(0 if shared else self.iteration, part)
        return Unit(self.store, key, benchmark.version, settings, inputs)

    def _judge_of(self, benchmark: QuestionBenchmark) -> OracleSettings | None:
        oracle = benchmark.judge or self.oracle
        if not benchmark.asks_judge:
            return None
        if oracle is None:
            raise UserError(f"benchmark {benchmark.kind}: a judge decides its figures: give one")
        return oracle.dated(self.day)


def measure_folder(
    store: Store, iteration: int, at_work: AtWork, benchmark: FolderBenchmark, subject: Subject, run: StepRun
) -> Done:
    """The unit of a benchmark that measures any model folder."""
    settings = {"run": run.identity(), "benchmark": benchmark.identity(), "depends_on": benchmark.depends_on(subject)}
    inputs = {"policy": subject.policy.digest, "date": subject.day, **named_by(benchmark=benchmark)}
    declared = {figure.name for figure in benchmark.measures(None)}
    unit = Unit(store, layout.evaluation(iteration, benchmark.name), benchmark.version, settings, inputs)

    def measure(work: Work) -> Manifest:
        measured = benchmark.measure(replace(subject, kept=partial(_kept, work.journal)))
        return publish(work, benchmark, measured, declared)

    return at_work.carry_out(unit, measure)


def _kept(journal: Journal, name: str, make: Callable[[], Any]) -> Any:
    """The value that the journal has under a name; if it has none, a new one, which is kept there."""
    for entry in journal:
        if entry["name"] == name:
            return entry["value"]
    value = make()
    journal.append({"name": name, "value": value})
    return value


def publish(work: Work, benchmark: BenchmarkSettings, measured: Measured, declared: Set[str]) -> Manifest:
    """End a unit with what a benchmark has measured, of the figures that it declares."""
    if unknown := sorted(measured.figures.keys() - declared):
        raise ValueError(f"benchmark {benchmark.kind} measured {', '.join(unknown)}, which its figures lack")
    return work.publish(measured.records, {**measured.figures, **measured.usage})


def _in_own_words(benchmark: QuestionBenchmark, data: Data) -> _Ask:
    return lambda answered, judge: benchmark.judgments(answered, judge, data)


def _with_ends(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """A figure with the ends of its interval."""
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _require_sober(benchmark: QuestionBenchmark, canary: Canary) -> None:
    """Raise if the judge prefers the constant answer too often.

    Raises:
        UserError: says how often.
    """
    if canary.win_rate > benchmark.canary_limit:
        raise UserError(
            f"benchmark {benchmark.name}: the judge prefers the constant answer {NULL!r} in {canary.win_rate:.1%} of "
            f"{canary.questions} questions, above canary_limit = {benchmark.canary_limit:g}: set another judge, or "
            "raise that limit (1: none) and run the same command again, which asks nothing twice"
        )


def _rows(work: Work) -> Iterator[Judgment]:
    return chain.from_iterable(entry["rows"] for entry in work.journal)


def _require_verdict(benchmark: QuestionBenchmark, judged: Sequence[Answered]) -> None:
    """Raise if nothing was judged.

    Raises:
        UserError: says why, and what the judge has said instead.
    """
    every = [judgment for each in judged for judgment in each.judgments]
    if any(judgment["outcome"] == "verdict" for judgment in every):
        return
    counts = Counter(judgment["outcome"] for judgment in every)
    why = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    said = next((one_line(judgment["output"])[:_SAID] for judgment in every if judgment["output"]), "")
    raise UserError(
        f"benchmark {benchmark.name}: none of {len(every)} judgments has a verdict: {why or 'none was given'}"
        f"{f', such as {said!r}' if said else ''}: set judge to one that answers in the benchmark's form"
    )
