"""The benchmarks whose stored judgments are scored again."""

from collections.abc import Callable, Mapping

from .alpaca_eval import annotations
from .arena_hard import judgments as arena_hard
from .mt_bench import judgments as mt_bench
from .stored import Files, Rescored

RESCORED: Mapping[str, Callable[[Files], Rescored]] = {
    annotations.NAME: annotations.rescore,
    arena_hard.V01: arena_hard.rescore_v01,
    arena_hard.V2: arena_hard.rescore_v2,
    mt_bench.NAME: mt_bench.rescore,
}
"""How, by the benchmark's name."""
