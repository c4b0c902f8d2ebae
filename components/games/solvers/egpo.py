"""EGPO: extragradient preference optimization (arXiv 2503.08942).

Game        regularised with τ, the paper's β
Update      π_{t+1/2} = U(π_t, π_t; η, τ), then π_{t+1} = U(π_t, π_{t+1/2}; η, τ), with U the mirror step: both from π_t
η           the learning rate; a gradient step on the paper's tabular loss with learning rate l has η = 4 l / (τ n)
Guarantee   KL(π*‖π_{T+1}) ≤ (1 − ητ)^T KL(π*‖π_ref) for the last iterate, at every η ≤ 1 / (τ + 1/2)
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..preference import Array, Game
from ..updates import extragradient_step
from .base import Solver, step_of_rate


class EGPO(Solver):
    """EGPO's exact iterates."""

    name: Literal["egpo"] = "egpo"
    eta: float = Field(0.5, gt=0)
    """η, the learning rate."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …; the half steps stay inside."""
        step, policy = step_of_rate(self.eta, game.tau), game.log_reference
        while True:
            policy = extragradient_step(game, policy, step)
            yield policy
