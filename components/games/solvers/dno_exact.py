"""DNO: direct Nash optimization in its exact form (arXiv 2404.03715).

Game        P(π ≻ π′), unregularised
Update      π_{t+1} ∝ π_t exp(P(y ≻ π_t) / η): the minimiser of the logistic loss of η h whose soft labels are
            σ(r(y) − r(y′)), r(y) = P(y ≻ π_t)
η           the inverse learning rate
Guarantee   the uniform average's gap is O(1/√T); nothing for the last iterate
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ..preference import Array, Game
from ..updates import mirror_step
from .base import Solver


class DNOExact(Solver):
    """DNO's exact iterates."""

    name: Literal["dno_exact"] = "dno_exact"
    regularised: ClassVar[bool] = False
    eta: float = Field(1.0, gt=0)
    """η, the inverse learning rate."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        game = replace(game, tau=0.0)
        policy = game.log_reference
        while True:
            policy = mirror_step(game, policy, policy, 1 / self.eta)
            yield policy
