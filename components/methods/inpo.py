"""INPO: iterative Nash policy optimization (arXiv 2407.00617, eq. 8).

Game        J(π, π') = P(π ≻ π') − τ KL(π‖π_ref) + τ KL(π'‖π_ref), P any preference function.
Update      π_{t+1}(y) ∝ exp(P(y ≻ π_t) / η) π_ref(y)^{τ/η} π_t(y)^{1−τ/η}   (online mirror descent on self-play)
Loss        E (h_t − 1/(2η))²,  h_t = D − (τ/η) D_ref − (1 − τ/η) D_t
Assumes     the pairs' responses are drawn iid from π_t (Proposition 6); a bracket's best and worst are not.
η           the *inverse* learning rate of mirror descent; τ the KL weight of the game, 0 for the unregularised one.
"""

from typing import Literal

from pydantic import Field, model_validator

from .base import PairedMethod
from .phases import REFERENCE, Phase, PolicyRef, Sampling, merge


class INPO(PairedMethod):
    """Settings of INPO."""

    name: Literal["inpo"] = "inpo"
    eta: float = Field(gt=0.0)
    """η, the inverse learning rate of mirror descent (the paper's recipe: 0.005; convergence wants about 1)."""
    tau: float = Field(ge=0.0)
    """τ, the KL weight of the game (the paper's recipe: η/3)."""

    @model_validator(mode="after")
    def _step_fits(self) -> "INPO":
        if self.tau > self.eta:
            raise ValueError(
                f"tau is {self.tau}, above eta = {self.eta}, which makes the weight of the current policy, "
                f"1 - tau/eta, negative: set tau to at most {self.eta}"
            )
        return self

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, regress on anchors π_ref and π_t."""
        current, weight = PolicyRef(iteration - 1), self.tau / self.eta
        return (
            Phase(
                name="main",
                samples=(Sampling({current: 1.0}, self.samples, temperature=self.temperature),),
                comparisons=self.comparisons,
                labels=self.labels,
                reduction=self.reduction,
                anchors=merge((REFERENCE, weight), (current, 1.0 - weight)),
                link="squared",
                target=1.0 / (2.0 * self.eta),
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
