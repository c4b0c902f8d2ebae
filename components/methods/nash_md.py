"""Nash-MD: mirror descent against a mixture with the reference (Munos et al., ICML 2024, arXiv 2312.00886).

Game        J(π, π') = P(π ≻ π') − τ KL(π‖π_ref) + τ KL(π'‖π_ref)
Update      π_{t+1} ∝ μ_t exp(η P(y ≻ μ_t)),  μ_t ∝ π_t^{1−ητ} π_ref^{ητ}
Loss        E (D − ητ D_ref − (1 − ητ) D_t − η/2)² on pairs of μ_t
Assumes     the pairs' responses are drawn iid from μ_t. The sampler mixes token by token, which is tractable, and not
            quite the mixture of whole responses that the theory has.
Guarantee   KL(π*‖π_T) ≤ 8 / (τ² (T + 1)) with η_t = 2 / (τ(t + 2)); with a fixed η the limit is not the equilibrium.
η           the learning rate of mirror descent; τ the KL weight of the game.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..core.settings import Schedule
from .base import KL_WEIGHT, STEP, PairedMethod
from .phases import Phase, PolicyRef, merge


class NashMD(PairedMethod):
    """Mirror descent against a mixture with the reference."""

    name: Literal["nash_md"] = "nash_md"
    eta: Annotated[Schedule, STEP] = "decreasing"
    """η, the learning rate of mirror descent; decreasing: η_t = 2 / (τ(t + 2))."""
    tau: Annotated[float, KL_WEIGHT] = Field(gt=0.0)
    """τ, the KL weight of the game."""

    @model_validator(mode="after")
    def _step_fits(self) -> "NashMD":
        if self.eta != "decreasing" and self.eta * self.tau > 1.0:
            raise ValueError(
                f"eta * tau is {self.eta * self.tau:.4g}, which makes the weight of the current policy, 1 - eta tau, "
                f"negative: set eta to at most {1 / self.tau:.4g}, or to decreasing"
            )
        return self

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample the mixture of π_t and π_ref, regress on the same two with the same weights."""
        eta = 2.0 / (self.tau * (iteration + 2)) if self.eta == "decreasing" else self.eta
        current, weight = PolicyRef(iteration - 1), eta * self.tau
        mixture = merge((self.pi_ref, weight), (current, 1.0 - weight))
        return (
            Phase(
                name="main",
                **self.data(mixture),
                anchors=mixture,
                link="squared",
                target=self.target(eta),
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
