"""Settings of the evaluation step."""

from typing import Annotated, Literal

from pydantic import Field

from ..core.settings import SHAPES_GRAPH, Settings
from ..methods import AnyMethod
from ..oracles.settings import AnyOracle
from ..runtime.protocol import StepPrompts, StepSettings
from ..sampling.settings import GenerationSettings
from ..scoring.settings import ScoringSettings

Benchmark = Literal["head_to_head", "game"]


class EvaluationSettings(Settings):
    """The recipe's `evaluation` section: what every policy is measured by."""

    benchmarks: Annotated[tuple[Benchmark, ...], SHAPES_GRAPH] = ("head_to_head",)
    """head_to_head: win rate against the reference under the oracle, on held-out prompts; game: the exact figures of a
    policy on the sandbox (duality gap, KL, win rate)."""
    tau: float = Field(0.1, ge=0.0)
    """KL weight of the game whose duality gap is reported: one for all recipes of a world, so that they compare."""
    samples: int = Field(1, ge=1)
    """Responses per held-out prompt."""
    temperature: float = Field(1.0, ge=0.0)
    """Sampling temperature of the responses that are compared; 0 is greedy."""


class EvaluationStep(StepSettings):
    """Everything the evaluation step reads."""

    method: AnyMethod
    prompts: StepPrompts
    oracle: AnyOracle
    rollout: GenerationSettings
    logprobs: ScoringSettings
    evaluation: EvaluationSettings
