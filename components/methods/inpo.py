"""INPO: iterative Nash policy optimization (arXiv 2407.00617, eq. 8).

Game        J(π, π') = P(π ≻ π') − τ KL(π‖π_ref) + τ KL(π'‖π_ref), P any preference function; τ = 0: "without KL".
Update      π_{t+1}(y) ∝ exp(P(y ≻ π_t) / η) π_ref(y)^{τ/η} π_t(y)^{1−τ/η}   (online mirror descent on self-play)
Loss        E (h_t − 1/(2η))²,  h_t = D − (τ/η) D_ref − (1 − τ/η) D_t
Assumes     the pairs' responses are drawn iid from π_t (Proposition 6); a bracket's best and worst are not.
Guarantee   KL(π*‖π_T) ≤ 32 C² / (τ² (T + 1)) with η_t = τ(t + 2)/2, C = max(Bτ, 1), |log π_t/π_ref| ≤ B (Theorem 4);
            with a fixed η the equilibrium attracts the last iterate where η > (τ² + ω²) / (2τ), ω the rotation of the
            game around it, which `nashflow game solve` prints; with τ = 0 the average iterate's gap falls as T^−1/2,
            and the last iterate may cycle.
η           the *inverse* learning rate of mirror descent; τ the KL weight of the game.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..core.settings import Schedule
from .base import INVERSE_STEP, KL_WEIGHT, PairedMethod
from .phases import Phase, PolicyRef, merge


class INPO(PairedMethod):
    """Iterative Nash policy optimization."""

    name: Literal["inpo"] = "inpo"
    eta: Annotated[Schedule, INVERSE_STEP]
    """η, the inverse learning rate of mirror descent (the paper's recipe: 0.005); to converge, it must be above
    (τ² + ω²)/(2τ), where ω is the rotation of the game: 0.31 in the sandbox world at τ = 0.1; decreasing: steps 1/η_t
    with η_t = τ(t + 2)/2."""
    tau: Annotated[float, KL_WEIGHT] = Field(ge=0.0)
    """τ, the KL weight of the game (the paper's recipe: η/3)."""

    @model_validator(mode="after")
    def _step_fits(self) -> "INPO":
        if self.eta == "decreasing" and self.tau == 0.0:
            raise ValueError("eta is decreasing, which means tau (t + 2) / 2: set tau above 0, or eta to a number")
        if self.eta != "decreasing" and self.tau > self.eta:
            raise ValueError(
                f"tau is {self.tau}, above eta = {self.eta}, which makes the weight of the current policy, "
                f"1 - tau/eta, negative: set tau to at most {self.eta}"
            )
        return self

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, regress on anchors π_ref and π_t."""
        eta = self.tau * (iteration + 2) / 2 if self.eta == "decreasing" else self.eta
        current, weight = PolicyRef(iteration - 1), self.tau / eta
        return (
            Phase(
                name="main",
                **self.data({current: 1.0}),
                anchors=merge((self.pi_ref, weight), (current, 1.0 - weight)),
                link="squared",
                target=self.target(1.0 / eta),
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
