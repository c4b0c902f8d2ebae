"""Settings of the sandbox world."""

from pydantic import Field

from ...core.settings import Settings


class WorldSettings(Settings):
    """The choice of a sandbox world."""

    seed: int = Field(default=0, ge=0)
    """Seed of the world: its preferences, its reference distribution and its policy. Independent of the run's seed."""
