"""Settings of the closing step."""

from ..shared.protocol import StepSettings


class Step(StepSettings):
    """Everything the closing step reads."""
