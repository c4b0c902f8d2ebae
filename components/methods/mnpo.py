"""MNPO: multiplayer Nash preference optimization, time-dependent (arXiv 2509.23102, eq. 15).

Game        between equals, each against the others: P(π ≻ O) − τ KL(π‖π_ref) against a population O
Update      π_{t+1} ∝ exp(P(y ≻ π_t) / η) π_ref^{τ/η} (Π_j π_{t−j}^{λ_j})^{1−τ/η}
Loss        E (h_t − 1/(2η))²,  h_t = D − (τ/η) D_ref − (1 − τ/η) Σ_j λ_j D_{t−j}
Assumes     the pairs' responses are drawn iid from π_t: the opponent is then π_t alone, and the history of policies an
            anchor with momentum; the paper's population average would need pairs of all of them.
Guarantee   its fixed point is the equilibrium of INPO's game, whatever the λ_j; the paper claims O(T^−1/2) for the
            average iterate.
η           the *inverse* learning rate, as in the paper's loss (its eq. 10 has the learning rate); τ/η is the published
            code's `ratio`, and the paper's Table 1 swaps it with 1 − τ/η.

Out of scope: the heterogeneous game of n policies with an oracle each, whose sum is not constant.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import INVERSE_STEP, KL_WEIGHT, PairedMethod
from .phases import Phase, PolicyRef, merge


class MNPO(PairedMethod):
    """Multiplayer Nash preference optimization, time-dependent."""

    name: Literal["mnpo"] = "mnpo"
    eta: Annotated[float, INVERSE_STEP] = Field(gt=0.0)
    """η, the inverse learning rate of mirror descent."""
    tau: Annotated[float, KL_WEIGHT] = Field(ge=0.0)
    """τ, the KL weight of the game."""
    history: tuple[float, ...] = (0.5, 0.5)
    """λ_0, λ_1, …: the weights of π_t, π_{t−1}, …; they sum to one. While there are fewer policies, the first weights
    are rescaled to sum to one."""

    @model_validator(mode="after")
    def _weights_fit(self) -> "MNPO":
        if self.tau > self.eta:
            raise ValueError(
                f"tau is {self.tau}, above eta = {self.eta}, which makes the weight of the history, 1 - tau/eta, "
                f"negative: set tau to at most {self.eta}"
            )
        if not self.history or min(self.history) < 0.0 or self.history[0] == 0.0:
            raise ValueError(f"history is {list(self.history)}: give weights >= 0, that of the current policy above 0")
        if abs(sum(self.history) - 1.0) > 1e-9:
            raise ValueError(f"history is {list(self.history)}, which sums to {sum(self.history):.6g}, not to 1")
        return self

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, regress on anchors π_ref, π_t, π_{t−1}, …"""
        current, weight = PolicyRef(iteration - 1), self.tau / self.eta
        known = self.history[:iteration]
        shares = [share / sum(known) for share in known]
        past = ((PolicyRef(iteration - 1 - age), (1.0 - weight) * share) for age, share in enumerate(shares))
        return (
            Phase(
                name="main",
                **self.data({current: 1.0}),
                anchors=merge((self.pi_ref, weight), *past),
                link="squared",
                target=self.target(1.0 / self.eta),
                start_from=current,
                result=PolicyRef(iteration),
                note=self._rescaled(iteration, shares),
            ),
        )

    def _rescaled(self, iteration: int, shares: list[float]) -> str:
        if len(shares) == len(self.history):
            return ""
        weights = ", ".join(f"{share:.3g}" for share in shares)
        return f"history names {len(self.history)} policies, of which {iteration} exist: rescaled to [{weights}]"
