"""The registry of benchmarks: `AnyBenchmark` is an entry of the recipe's `evaluation.benchmarks`."""

from collections.abc import Sequence
from typing import Annotated

from ..core.runtimes import Runtime
from ..core.variants import Variants
from .academic.settings import Academic
from .alpaca_eval.benchmark import AlpacaEval
from .arena_hard.benchmark import ArenaHard
from .arena_hard.v2 import ArenaHardV2
from .base import BenchmarkSettings, Figure
from .game import ExactGame
from .head_to_head import HeadToHead
from .ifbench.settings import IFBench
from .ifeval.settings import IFEval
from .kl import MonteCarloKL
from .mt_bench.benchmark import MTBench
from .questions import QuestionBenchmark
from .versus import Versus

BENCHMARKS = Variants(
    "nashflow.benchmarks",
    BenchmarkSettings,
    HeadToHead,
    ExactGame,
    MonteCarloKL,
    Versus,
    AlpacaEval,
    ArenaHard,
    ArenaHardV2,
    MTBench,
    IFEval,
    IFBench,
    Academic,
)
AnyBenchmark = Annotated[BenchmarkSettings, BENCHMARKS]


def groups_of(benchmarks: Sequence[BenchmarkSettings], sampling: Runtime) -> dict[str, list[BenchmarkSettings]]:
    """The benchmarks of each evaluation task of an iteration, by runtime.

    The first, without a name, runs in that of the engine that samples, `sampling`, and makes the responses that all of
    them read.
    """
    groups: dict[str, list[BenchmarkSettings]] = {"": []} if any(each.reads for each in benchmarks) else {}
    names = ["" if each.runtime in (None, sampling) else str(each.runtime) for each in benchmarks]
    for name, benchmark in sorted(zip(names, benchmarks, strict=True), key=lambda each: bool(each[0])):
        groups.setdefault(name, []).append(benchmark)
    return groups


def groups_at(
    benchmarks: Sequence[BenchmarkSettings], sampling: Runtime, iteration: int, last: int
) -> dict[str, list[BenchmarkSettings]]:
    """The groups of the benchmarks that measure an iteration of a run that ends with iteration `last`.

    There is one group at least: the last one ends the iteration.
    """
    return groups_of([each for each in benchmarks if each.due(iteration, last)], sampling) or {"": []}


def every_figure() -> dict[str, Figure]:
    """The figures that have one name in every recipe, of all benchmarks that there are, by name."""
    return {figure.name: figure for benchmark in BENCHMARKS.members.values() for figure in benchmark.figures}


def is_headline(name: str) -> bool:
    """Whether a name is that of a headline among the figures that only some recipes have, such as
    `versus/win_rate/judge`."""
    kind, _, rest = name.partition("/")
    benchmark = BENCHMARKS.members.get(kind.partition("-")[0])
    figures = benchmark.scored if benchmark and issubclass(benchmark, QuestionBenchmark) else ()
    return rest.partition("/")[0] in [figure.name for figure in figures if figure.headline]
