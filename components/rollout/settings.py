"""Settings of the rollout step."""

from ..engines.settings import GenerationSettings
from ..methods import AnyMethod
from ..shared.protocol import StepSettings


class Step(StepSettings):
    """Everything the rollout step reads."""

    method: AnyMethod
    rollout: GenerationSettings
