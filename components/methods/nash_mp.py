"""Nash-MP: Nash mirror prox (arXiv 2505.19731, version 1).

Game        J(π, π') = P(π ≻ π') − β KL(π‖π_ref) + β KL(π'‖π_ref)
Update      π_{t+1/2} = argmax_π P(π ≻ π_t) − β KL(π‖π_ref) − λ KL(π‖π_t),
            π_{t+1} = argmax_π P(π ≻ π_{t+1/2}) − β KL(π‖π_ref) − λ KL(π‖π_t)
Loss        E (D − sβ D_ref − (1 − sβ) D_t − s/2)², s = 1/(β + λ), on pairs of π_t, then of π_{t+1/2}
Assumes     the pairs' responses are drawn iid from the opponent. The paper's own practical form is a policy gradient
            with a slowly moving target network.
Guarantee   the last iterate converges linearly: with λ = 1/2, KL(π*‖π_t) falls by a factor 1 + 2β an iteration.
λ           the weight of the proximal term, an inverse learning rate; β the KL weight of the game.
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import KL_WEIGHT, PairedMethod
from .extragradient import extragradient
from .phases import Phase


class NashMP(PairedMethod):
    """Nash mirror prox."""

    name: Literal["nash_mp"] = "nash_mp"
    beta: Annotated[float, KL_WEIGHT] = Field(gt=0.0)
    """β, the KL weight of the game."""
    proximal_weight: float = Field(0.5, gt=0.0)
    """λ, the weight of KL(π‖π_t); the guarantee needs about 0.35 or more."""

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """A half step and a full step, both from π_t."""
        return extragradient(self, iteration, 1.0 / (self.beta + self.proximal_weight), self.beta)
