"""The registry of benchmarks: `AnyBenchmark` is an entry of the recipe's `evaluation.benchmarks`."""

from collections.abc import Sequence
from typing import Annotated

from ..core.runtimes import Runtime
from ..core.variants import Variants
from .base import Benchmark, Figure
from .game import ExactGame
from .head_to_head import HeadToHead
from .kl import MonteCarloKL

BENCHMARKS = Variants("nashflow.benchmarks", Benchmark, HeadToHead, ExactGame, MonteCarloKL)
AnyBenchmark = Annotated[Benchmark, BENCHMARKS]


def groups_of(benchmarks: Sequence[Benchmark], sampling: Runtime) -> dict[str, list[Benchmark]]:
    """The benchmarks of each evaluation task of an iteration, by runtime.

    The first, without a name, runs in that of the engine that samples, `sampling`, and makes the responses that all of
    them read.
    """
    groups: dict[str, list[Benchmark]] = {"": []} if any(each.reads for each in benchmarks) else {}
    names = ["" if each.runtime in (None, sampling) else str(each.runtime) for each in benchmarks]
    for name, benchmark in sorted(zip(names, benchmarks, strict=True), key=lambda each: bool(each[0])):
        groups.setdefault(name, []).append(benchmark)
    return groups


def every_figure() -> dict[str, Figure]:
    """The figures of all benchmarks that there are, by name."""
    return {figure.name: figure for benchmark in BENCHMARKS.members.values() for figure in benchmark.figures}
