"""Settings of the evaluation step."""

from collections.abc import Sequence
from typing import Annotated, Any, Self, get_args

from pydantic import Field, model_validator

from ..benchmarks import BENCHMARKS, AnyBenchmark
from ..benchmarks.base import BenchmarkSettings, MeasuringSettings, Responses
from ..benchmarks.head_to_head import HeadToHead
from ..benchmarks.kl import MonteCarloKL
from ..core.settings import SHAPES_GRAPH, WHOLE
from ..methods import AnyMethod
from ..models.dialogues import PolicyTemplate
from ..oracles.oracle_settings import OracleSettings
from ..oracles.settings import AnyOracle
from ..prompts.settings import PromptSource
from ..runtime.protocol import StepRun, StepSettings
from ..sampling.settings import GenerationSettings
from ..scoring.settings import ScoringSettings


class EvaluationSettings(MeasuringSettings):
    """The recipe's `evaluation` section: how every policy is measured."""

    model_config = WHOLE

    benchmarks: Annotated[tuple[AnyBenchmark, ...], SHAPES_GRAPH] = (HeadToHead(), MonteCarloKL())
    """head_to_head: win rate against the reference on held-out prompts, judged by the oracle; kl: Monte Carlo estimate
    of the KL divergence from the reference; game: exact figures on the sandbox world (duality gap, KL, win rate)."""
    prompts: PromptSource | None = None
    """A set of prompts for evaluation alone; otherwise a part of `prompts` is held out."""

    @model_validator(mode="after")
    def _measured_once(self) -> Self:
        if not self.benchmarks:
            raise ValueError(f"benchmarks is empty: name at least one of {', '.join(BENCHMARKS.members)}")
        if taken := [benchmark.kind for benchmark in self.benchmarks if benchmark.kind in get_args(Responses)]:
            raise ValueError(f"benchmarks: {taken[0]} is the name of what benchmarks read: rename the benchmark")
        measured: dict[str, str] = {}
        for benchmark in self.benchmarks:
            for figure in benchmark.measures(None) if benchmark.figures else ():
                if by := measured.get(figure.name):
                    both = f"{by} and {benchmark.kind}" if by != benchmark.kind else f"{by}, which is there twice,"
                    raise ValueError(f"benchmarks: {both} measure {figure.name}: leave one of them out")
                measured[figure.name] = benchmark.kind
        return self

    @property
    def judges(self) -> tuple[OracleSettings, ...]:
        """The oracles that benchmarks ask besides the recipe's."""
        return tuple(oracle for benchmark in self.benchmarks for oracle in benchmark.oracles)


def check_judges(benchmarks: Sequence[BenchmarkSettings], oracle: OracleSettings) -> None:
    """Every benchmark's judge can judge for it.

    Raises:
        ValueError: says which cannot.
    """
    for benchmark in benchmarks:
        for judge in benchmark.oracles or benchmark.asked_of(oracle):
            if why := benchmark.unfit(judge):
                raise ValueError(f"evaluation.benchmarks: {why}")


def check_measured_once(benchmarks: Sequence[BenchmarkSettings], oracle: OracleSettings) -> None:
    """No two benchmarks measure figures of one name, or have units of work of one name but unlike content.

    Raises:
        ValueError: says which do.
    """
    measured: dict[str, str] = {}
    asked: dict[str, Any] = {}
    for benchmark in benchmarks:
        # Those without a judge in their names, such as of answers' lengths, are the same whoever judges.
        names = {figure.name for figure in benchmark.measures(oracle) if figure.name.count("/") != 1}
        names.add(benchmark.units(0)[-1])
        if twice := sorted(name for name in names if name in measured):
            raise ValueError(
                f"evaluation.benchmarks: {benchmark.name} is there twice and measures {twice[0]} both times: leave one "
                "out, or let them differ in questions or judge"
            )
        measured |= dict.fromkeys(names, benchmark.name)
        said = benchmark.model_dump(mode="json", exclude={"judge", "every"})
        if asked.setdefault(benchmark.name, said) != said:
            raise ValueError(
                f"evaluation.benchmarks: {benchmark.name} is there twice, with other settings: entries of one kind "
                "with as many questions may differ in judge and every alone"
            )


class EvaluatedRun(StepRun):
    """The part of the recipe's `run` section that the evaluation step reads."""

    iterations: int = Field(ge=1)
    """The last iteration, which every benchmark measures."""


class EvaluationStep(StepSettings):
    """Everything the evaluation step reads."""

    run: EvaluatedRun
    method: AnyMethod
    policy: PolicyTemplate = PolicyTemplate()
    oracle: AnyOracle
    rollout: GenerationSettings
    logprobs: ScoringSettings
    evaluation: EvaluationSettings
