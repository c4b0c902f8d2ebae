"""Benchmarks that need one image are one task of an iteration; others are tasks of their own."""

from typing import Any, ClassVar, Literal

from nashflow.components.benchmarks import groups_of
from nashflow.components.benchmarks.base import Bench, Benchmark, Figure, Measured
from nashflow.components.benchmarks.game import ExactGame
from nashflow.components.benchmarks.head_to_head import HeadToHead
from nashflow.components.core.runtimes import Runtime
from nashflow.components.iterations.units import Shape
from nashflow.components.methods.inpo import INPO


class Judged(Benchmark):
    """A benchmark whose judge needs an accelerator."""

    kind: Literal["judged"] = "judged"
    figures: ClassVar[tuple[Figure, ...]] = (Figure("grade"),)
    reads: ClassVar[tuple[Literal["responses", "opponents"], ...]] = ("responses",)
    runtime: ClassVar[Runtime | None] = "vllm"

    def depends_on(self, bench: Bench) -> Any:
        """Nothing."""

    def measure(self, bench: Bench) -> Measured:
        """A grade."""
        return Measured({"grade": 1.0})


def kinds(groups: dict[str, list[Benchmark]]) -> dict[str, list[str]]:
    return {name: [benchmark.kind for benchmark in group] for name, group in groups.items()}


def test_the_samplers_image_is_that_of_the_first_task() -> None:
    benchmarks = (Judged(), HeadToHead(), ExactGame())
    assert kinds(groups_of(benchmarks, "steps")) == {"": ["head_to_head", "game"], "vllm": ["judged"]}
    assert kinds(groups_of(benchmarks, "vllm")) == {"": ["judged", "head_to_head", "game"]}


def test_responses_are_sampled_where_the_sampler_is() -> None:
    assert kinds(groups_of((Judged(),), "steps")) == {"": [], "vllm": ["judged"]}
    units = Shape(INPO(eta=0.5, tau=0.1), 1, (Judged(),)).units(0)
    assert units == {
        "evaluation": ["iterations/000/evaluation/responses/00000"],
        "vllm/evaluation": ["iterations/000/evaluation/judged/00000"],
    }


def test_without_responses_there_is_no_task_for_them() -> None:
    assert kinds(groups_of((ExactGame(),), "steps")) == {"": ["game"]}
