"""Settings of the evaluation step."""

from typing import Annotated, Self, get_args

from pydantic import model_validator

from ..benchmarks import BENCHMARKS, AnyBenchmark
from ..benchmarks.base import MeasuringSettings, Responses
from ..benchmarks.head_to_head import HeadToHead
from ..benchmarks.kl import MonteCarloKL
from ..core.settings import SHAPES_GRAPH, WHOLE
from ..methods import AnyMethod
from ..models.dialogues import PolicyTemplate
from ..oracles.settings import AnyOracle
from ..prompts.settings import PromptSource
from ..runtime.protocol import StepSettings
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
            for figure in benchmark.figures:
                if by := measured.get(figure.name):
                    both = f"{by} and {benchmark.kind}" if by != benchmark.kind else f"{by}, which is there twice,"
                    raise ValueError(f"benchmarks: {both} measure {figure.name}: leave one of them out")
                measured[figure.name] = benchmark.kind
        return self


class EvaluationStep(StepSettings):
    """Everything the evaluation step reads."""

    method: AnyMethod
    policy: PolicyTemplate = PolicyTemplate()
    oracle: AnyOracle
    rollout: GenerationSettings
    logprobs: ScoringSettings
    evaluation: EvaluationSettings
