"""Settings of the sandbox world."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ...core.settings import Settings


class WorldSettings(Settings):
    """The choice of a sandbox world."""

    seed: int = Field(default=0, ge=0)
    """Seed of the world: its preferences, its reference distribution and its policy. Independent of the run's seed."""
    intransitivity: float = Field(default=2.5, ge=0)
    """Strength of the cyclic part of the preferences; at 0 a reward explains them all."""

    @model_serializer(mode="wrap")
    def _without_default(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the usual intransitivity: worlds that have it keep their identity from before the setting."""
        data: dict[str, Any] = dump(self)
        return {name: value for name, value in data.items() if (name, value) != ("intransitivity", 2.5)}
