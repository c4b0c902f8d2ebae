"""The registry of methods: `AnyMethod` is the recipe's `method` section, told apart by its `name`."""

from typing import Annotated

from ..core.variants import Variants
from .base import Method
from .dno import DNO
from .egpo import EGPO
from .inpo import INPO
from .ipo import IPO
from .iterative_dpo import IterativeDPO
from .mnpo import MNPO
from .nash_md import NashMD
from .nash_mp import NashMP
from .online_ipo import OnlineIPO
from .onpo import ONPO
from .phases import Phase
from .sppo import SPPO

_SHIPPED = (INPO, ONPO, EGPO, NashMP, MNPO, NashMD, SPPO, DNO, OnlineIPO, IPO, IterativeDPO)
METHODS = Variants("nashflow.methods", Method, *_SHIPPED, by="name")
AnyMethod = Annotated[Method, METHODS]


def phase_of(method: Method, iteration: int, name: str) -> Phase:
    """The phase `name` of an iteration.

    Raises:
        ValueError: the method has no such phase at that iteration.
    """
    for phase in method.phases(iteration):
        if phase.name == name:
            return phase
    raise ValueError(f"{method.name} has no phase {name} at iteration {iteration}")
