"""ONPO: optimistic Nash policy optimization (arXiv 2502.16852).

Game        P(π ≻ π′), unregularised
Update      π′_{t+1} ∝ π′_t exp(η P(y ≻ π_t)), then π_{t+1} ∝ π′_{t+1} exp(η P(y ≻ π_t)), from π_1 = π′_1 = π_ref; the
            same as optimistic multiplicative weights, π_{t+1} ∝ π_t exp(2η P(y ≻ π_t) − η P(y ≻ π_{t−1}))
η           the learning rate
Guarantee   the uniform average's gap is at most 2 (D/η + η) / T for η ≤ 1/2, D = max_π KL(π‖π_ref)
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ..preference import Array, Game
from ..updates import mirror_step
from .base import Solver


class ONPO(Solver):
    """ONPO's exact iterates."""

    name: Literal["onpo"] = "onpo"
    regularised: ClassVar[bool] = False
    eta: float = Field(0.5, gt=0)
    """η, the learning rate."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …; the auxiliary policies π′ stay inside."""
        game = replace(game, tau=0.0)
        policy = auxiliary = game.log_reference
        while True:
            auxiliary = mirror_step(game, auxiliary, policy, self.eta)
            policy = mirror_step(game, auxiliary, policy, self.eta)
            yield policy
