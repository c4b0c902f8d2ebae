"""Settings of the sandbox world."""

from pydantic import Field

from ...core.settings import Settings


class WorldSettings(Settings):
    """Which of the sandbox worlds is played."""

    seed: int = Field(default=0, ge=0)
    """The world's own seed: its preferences, its reference distribution and policy. Not the run's seed."""
