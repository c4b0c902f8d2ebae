"""The registry of benchmarks: `AnyBenchmark` is an entry of the recipe's `evaluation.benchmarks`."""

from typing import Annotated

from ..core.variants import Variants
from .base import Benchmark, Figure
from .game import ExactGame
from .head_to_head import HeadToHead
from .kl import MonteCarloKL

BENCHMARKS = Variants("nashflow.benchmarks", Benchmark, HeadToHead, ExactGame, MonteCarloKL)
AnyBenchmark = Annotated[Benchmark, BENCHMARKS]


def every_figure() -> dict[str, Figure]:
    """The figures of all benchmarks that there are, by name."""
    return {figure.name: figure for benchmark in BENCHMARKS.members.values() for figure in benchmark.figures}
