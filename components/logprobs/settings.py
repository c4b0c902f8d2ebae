"""Settings of the log-prob step."""

from ..methods import AnyMethod
from ..runtime.protocol import StepSettings
from ..scoring.settings import ScoringSettings


class LogprobsStep(StepSettings):
    """Everything the log-prob step reads."""

    method: AnyMethod
    logprobs: ScoringSettings
