"""Settings of the judging step."""

from pydantic import Field

from ..core.settings import Settings
from ..methods import AnyMethod
from ..oracles.settings import AnyOracle
from ..runtime.protocol import StepSettings


class JudgingSettings(Settings):
    """The recipe's `judging` section: how comparisons become pairs."""

    drop_identical: bool = True
    """Drop pairs whose two texts are the same: they carry no gradient."""
    batch_prompts: int = Field(64, ge=1)
    """Prompts whose tournaments are played together."""


class JudgingStep(StepSettings):
    """Everything the judging step reads."""

    method: AnyMethod
    oracle: AnyOracle
    judging: JudgingSettings
