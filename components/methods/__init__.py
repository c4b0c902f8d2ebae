"""The registry of methods: `AnyMethod` is the recipe's `method` section, told apart by its `name`."""

from typing import Annotated

from pydantic import Field

from .base import Method
from .inpo import INPO
from .iterative_dpo import IterativeDPO
from .phases import Phase

AnyMethod = Annotated[INPO | IterativeDPO, Field(discriminator="name")]


def phase_of(method: Method, iteration: int, name: str) -> Phase:
    """The phase `name` of an iteration.

    Raises:
        ValueError: the method has no such phase at that iteration.
    """
    for phase in method.phases(iteration):
        if phase.name == name:
            return phase
    raise ValueError(f"{method.name} has no phase {name} at iteration {iteration}")
