"""EGPO: extragradient preference optimization (arXiv 2503.08942).

Game        J(π, π') = P(π ≻ π') − β KL(π‖π_ref) + β KL(π'‖π_ref)
Update      π_{t+1/2} ∝ π_t^{1−ηβ} π_ref^{ηβ} exp(η P(y ≻ π_t)),
            π_{t+1} ∝ π_t^{1−ηβ} π_ref^{ηβ} exp(η P(y ≻ π_{t+1/2}))
Loss        E (D − ηβ D_ref − (1 − ηβ) D_t − η/2)², on pairs of π_t for the half step, of π_{t+1/2} for the full one
Assumes     the pairs' responses are drawn iid from the opponent. The paper takes single gradient steps of an equivalent
            loss instead of solving each step.
Guarantee   the last iterate converges linearly, KL(π*‖π_T) ≤ (1 − ηβ)^T KL(π*‖π_0), for η ≤ 1/(β + 1/2).
η           the learning rate of mirror descent; β the KL weight of the game. Nash-MP is the same map, η = 1/(β + λ).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import KL_WEIGHT, STEP, PairedMethod
from .extragradient import extragradient
from .phases import Phase


class EGPO(PairedMethod):
    """Extragradient preference optimization."""

    name: Literal["egpo"] = "egpo"
    eta: Annotated[float, STEP] = Field(gt=0.0)
    """η, the learning rate of mirror descent."""
    beta: Annotated[float, KL_WEIGHT] = Field(gt=0.0)
    """β, the KL weight of the game."""

    @model_validator(mode="after")
    def _step_fits(self) -> "EGPO":
        if self.eta * self.beta > 1.0:
            raise ValueError(
                f"eta * beta is {self.eta * self.beta:.4g}, which makes the weight of the current policy, "
                f"1 - eta beta, negative: set eta to at most {1 / self.beta:.4g}"
            )
        return self

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """A half step and a full step, both from π_t."""
        return extragradient(self, iteration, self.eta, self.beta)
