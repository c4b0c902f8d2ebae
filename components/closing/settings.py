"""Settings of the closing step."""

from ..shared.protocol import StepRun, StepSettings


class NamedRun(StepRun):
    """What the closing step needs of the recipe's `run` section."""

    name: str
    """The run's name, by which its prompts are in the ledger."""


class Step(StepSettings):
    """Everything the closing step reads."""

    run: NamedRun
