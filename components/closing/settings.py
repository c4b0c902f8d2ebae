"""Settings of the closing step."""

from ..runtime.protocol import StepSettings


class ClosingStep(StepSettings):
    """The closing step reads no recipe; `run.json` has all that it needs."""
