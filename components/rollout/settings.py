"""Settings of the rollout step."""

from ..methods import AnyMethod
from ..models.dialogues import PolicyTemplate
from ..runtime.protocol import StepSettings
from ..sampling.settings import GenerationSettings


class RolloutStep(StepSettings):
    """Everything the rollout step reads."""

    method: AnyMethod
    policy: PolicyTemplate = PolicyTemplate()
    rollout: GenerationSettings
