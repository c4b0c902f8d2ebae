"""Settings of the reporting step."""

from ..methods import AnyMethod
from ..runtime.protocol import StepPrompts, StepSettings


class ReportingStep(StepSettings):
    """Everything the reporting step reads."""

    method: AnyMethod
    prompts: StepPrompts
