"""Settings of the closing step."""

import json
from typing import Self

from ..core.settings import Settings
from ..notifications.settings import AnyWebhook
from ..runtime.protocol import StepSettings


class ClosingStep(StepSettings):
    """The closing step reads no recipe; `run.json` has all that it needs, but for whom it tells."""


class Told(Settings):
    """Its flag `--notifications`, which the graph gives it: the run may fail before there is a `run.json`."""

    run: str = ""
    """The run's name in the recipe."""
    webhooks: tuple[AnyWebhook, ...] = ()

    @classmethod
    def of(cls, flag: str) -> Self:
        """The flag's value; nobody is told where it is empty.

        Raises:
            UserError: it is not what the graph gives.
        """
        return cls.parse(json.loads(flag or "{}"), "--notifications")
