"""The exact solvers: `AnySolver` is one of them, told apart by its `name`."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Field

from ...core.errors import UserError
from ...core.settings import nearest
from .base import Solver
from .dno import DNO
from .dno_exact import DNOExact
from .egpo import EGPO
from .inpo import INPO
from .ipo import IPO
from .iterative_dpo import IterativeDPO
from .mnpo import MNPO
from .nash_md import NashMD
from .nash_md_pg import NashMDPG
from .nash_mp import NashMP
from .online_ipo import OnlineIPO
from .onpo import ONPO
from .sppo import SPPO

AnySolver = Annotated[
    INPO | ONPO | EGPO | NashMP | MNPO | NashMD | NashMDPG | SPPO | DNO | DNOExact | OnlineIPO | IPO | IterativeDPO,
    Field(discriminator="name"),
]
SOLVERS: dict[str, type[Solver]] = {
    solver.model_fields["name"].default: solver for solver in get_args(get_args(AnySolver)[0])
}
"""Every solver by its name."""


def make_solver(name: str, settings: Mapping[str, Any]) -> Solver:
    """The solver `name` with the given settings.

    Raises:
        UserError: no such solver, or a setting that it does not read; names the nearest.
    """
    if name not in SOLVERS:
        raise UserError(f"method {name!r} is unknown{nearest(name, SOLVERS)}")
    return SOLVERS[name].parse(settings, name)
