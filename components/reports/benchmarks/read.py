"""Read what benchmarks have measured of a policy from their units of work."""

from collections.abc import Mapping, Sequence

from ...benchmarks.base import BenchmarkSettings
from ...benchmarks.questions import QuestionBenchmark, read_answered
from ...benchmarks.shares import Interval, difference
from ...benchmarks.watched import read_canary, read_correlation
from ...oracles.oracle_settings import OracleSettings
from ...oracles.usage import PREFIX, total_usage
from ...quality.kept import read_quality
from ...storage import layout
from ...storage.records import CATEGORIES, COMPARISONS, JUDGMENTS, PROMPTS, ROLLOUTS, Rollout
from ...storage.store import Store
from ...storage.units import Manifest, require_manifest
from .cases import Case, case_of
from .report import BenchmarkReport


def read_report(
    store: Store, iteration: int, benchmark: BenchmarkSettings, oracle: OracleSettings | None
) -> BenchmarkReport:
    """A benchmark's results on an iteration's policy, which it has measured; `oracle` is the recipe's, if there is one.

    What is known of the judge's quality is found beside the run root.

    Raises:
        UserError: a unit is not finished.
    """
    if isinstance(benchmark, QuestionBenchmark):
        return _of_questions(store, iteration, benchmark, oracle)
    made = [require_manifest(store, layout.evaluation(iteration, part)) for part in benchmark.units(iteration)]
    judges = [each.short_name for each in benchmark.asked_of(oracle)] if oracle else []
    return BenchmarkReport(
        name=benchmark.name,
        judge=", ".join(judges),
        oracle=oracle.short_name if oracle else "",
        figures=benchmark.measures(oracle),
        values=_figures(made),
        gains=_gains(store, iteration, benchmark, oracle),
        published={f"{benchmark.name}/{each.figure}": each for each in benchmark.published},
        categories=[row for each in made if CATEGORIES.name in each.files for row in each.rows(store, CATEGORIES)],
        cases=[case for each in made if COMPARISONS.name in each.files for case in _compared(store, iteration, each)],
        usage=_usage(made),
    )


def _of_questions(
    store: Store, iteration: int, benchmark: QuestionBenchmark, oracle: OracleSettings | None
) -> BenchmarkReport:
    made = benchmark.made(store, iteration)
    judged = read_answered(store, made["questions"], made["answers"], made["judgments"])
    judge = benchmark.judge or oracle
    asked, signature = bool(judge and benchmark.asks_judge), _signature(store, made["judgments"])
    return BenchmarkReport(
        name=benchmark.name,
        judge=f"{judge.short_name} ({signature})" if judge and asked else "",
        oracle=_trained_by(store, oracle, made) if asked else "",
        figures=benchmark.measures(oracle),
        values=_figures([made[name] for name in ("answers", "judgments", "scores")]),
        gains=_gains(store, iteration, benchmark, oracle),
        published={benchmark.figure(each.figure, oracle): each for each in benchmark.published},
        categories=made["scores"].rows(store, CATEGORIES) if CATEGORIES.name in made["scores"].files else [],
        cases=[case_of(each) for each in judged],
        usage=_usage([manifest for name, manifest in made.items() if name != "reference"]),
        quality=read_quality(store, signature) if asked else None,
        correlation=read_correlation(store, judged, made) if oracle else None,
        canary=read_canary(store, judged, made),
    )


def _trained_by(store: Store, oracle: OracleSettings | None, made: Mapping[str, Manifest]) -> str:
    if oracle is None:
        return ""
    signature = _signature(store, made["oracle"]) if "oracle" in made else ""
    return f"{oracle.short_name} ({signature})" if signature else oracle.short_name


def _gains(
    store: Store, iteration: int, benchmark: BenchmarkSettings, oracle: OracleSettings | None
) -> dict[str, Interval]:
    """The reference, which is measured in any case, is iteration 0."""
    if not iteration:
        return {}
    ours, theirs = (benchmark.shares(store, t, oracle) for t in (iteration, 0))
    found = {name: difference(each, theirs[name]) for name, each in ours.items() if name in theirs}
    return {name: gain for name, gain in found.items() if gain}


def _signature(store: Store, judgments: Manifest) -> str:
    return next((row["judge"] for row in judgments.rows(store, JUDGMENTS)), "")


def _figures(made: Sequence[Manifest]) -> dict[str, float]:
    return {name: value for each in made for name, value in each.metrics.items() if not name.startswith(PREFIX)}


def _usage(made: Sequence[Manifest]) -> dict[str, float]:
    return {name.removeprefix(PREFIX): value for name, value in total_usage(each.metrics for each in made).items()}


def _compared(store: Store, iteration: int, manifest: Manifest) -> list[Case]:
    """The comparisons of responses to held-out prompts, as cases."""
    prompts = {row["row_id"]: row for row in require_manifest(store, layout.held_out()).rows(store, PROMPTS)}
    ours, theirs = _responses(store, iteration, "responses"), _responses(store, 0, "opponents")
    return [
        Case(
            question=f"{row['row_id']}, sample {row['first']}",
            category="",
            turns=tuple(message["content"] for message in prompts[row["row_id"]]["messages"]),
            answers=(ours[row["row_id"], row["first"]]["text"],),
            opponent=(theirs[row["row_id"], row["second"]]["text"],),
            tokens=len(ours[row["row_id"], row["first"]]["response_ids"]),
            cut=ours[row["row_id"], row["first"]]["finish"] == "length",
            value=None if row["abstained"] else row["probability"],
            forward=None if row["abstained"] else row["forward"],
            backward=None if row["abstained"] else row["backward"],
            verdicts=int(not row["abstained"]),
            missing=("abstained",) * row["abstained"],
        )
        for row in manifest.rows(store, COMPARISONS)
    ]


def _responses(store: Store, iteration: int, part: str) -> dict[tuple[int, int], Rollout]:
    rows = require_manifest(store, layout.evaluation(iteration, part)).rows(store, ROLLOUTS)
    return {(row["row_id"], row["sample"]): row for row in rows}
