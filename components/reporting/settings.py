"""Settings of the reporting step."""

from ..runtime.protocol import StepSettings


class ReportingStep(StepSettings):
    """The reporting step reads no section of its own: what it reports on is under the run root."""
