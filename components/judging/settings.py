"""Settings of the judging step."""

from pydantic import Field

from ..core.settings import Settings
from ..methods import AnyMethod
from ..oracles.settings import AnyOracle
from ..runtime.protocol import StepSettings
from .guards import GuardSettings


class JudgingSettings(Settings):
    """The recipe's `judging` section: how comparisons become pairs."""

    drop_identical: bool = True
    """Drop pairs of two identical responses, which carry no gradient."""
    batch_prompts: int = Field(64, ge=1)
    """Number of prompts whose tournaments are played at the same time."""
    length_ratio: float | None = Field(None, ge=1.0)
    """Drop pairs in which one response has more than this many times the tokens of the other; null: none."""
    guards: GuardSettings = GuardSettings()


class JudgingStep(StepSettings):
    """Everything the judging step reads."""

    method: AnyMethod
    oracle: AnyOracle
    judging: JudgingSettings
