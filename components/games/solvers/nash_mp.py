"""Nash-MP: Nash mirror prox (arXiv 2505.19731).

Game        regularised with τ, the paper's β
Update      π_{k+1/2} = argmax_π P(π ≻ π_k) − τ KL(π‖π_ref) − λ KL(π‖π_k), then π_{k+1} likewise against π_{k+1/2}, its
            proximal term still KL(π‖π_k): mirror steps of size 1 / (τ + λ), so the same map as EGPO
λ           the weight of the proximal term
Guarantee   at λ ≥ 1/2 every iteration divides KL(π*‖π) by at least (τ + λ) / λ; 1 + 2τ at λ = 1/2
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..preference import Array, Game
from ..updates import extragradient_step
from .base import Solver


class NashMP(Solver):
    """Nash-MP's exact iterates."""

    name: Literal["nash_mp"] = "nash_mp"
    proximal_weight: float = Field(0.5, gt=0)
    """λ, the weight of the proximal term."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_1, π_2, … of the paper, which counts from π_0 = π_ref; the half steps stay inside."""
        step, policy = 1 / (game.tau + self.proximal_weight), game.log_reference
        while True:
            policy = extragradient_step(game, policy, step)
            yield policy
