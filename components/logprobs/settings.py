"""Settings of the log-prob step."""

from ..engines.settings import ScoringSettings
from ..methods import AnyMethod
from ..shared.protocol import StepSettings


class Step(StepSettings):
    """Everything the log-prob step reads."""

    method: AnyMethod
    logprobs: ScoringSettings
