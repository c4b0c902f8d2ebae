"""Iterative DPO (RLHF Workflow, arXiv 2405.07863; the loss is DPO's, arXiv 2305.18290, eq. 7).

Loss        −(1−ε) log σ(β h) − ε log σ(−β h),  h = D − D_anchor
Anchor      moving: π_t, the policy at the start of the iteration (what the published code does); fixed: π_ref.
Assumes     Bradley-Terry preferences, P(y ≻ y') = σ(R(y) − R(y')). Then the minimiser is π_anchor exp(R/β); under
            general preferences it depends on who generated the pairs, and iterating it need not approach the
            equilibrium of the game.
β           the KL weight of DPO. There is no η.
"""

from typing import Literal

from pydantic import Field, model_validator

from .base import PairedMethod
from .phases import REFERENCE, Phase, PolicyRef, Sampling


class IterativeDPO(PairedMethod):
    """Settings of iterative DPO."""

    name: Literal["iterative_dpo"] = "iterative_dpo"
    beta: float = Field(0.1, gt=0.0)
    """β, the KL weight of DPO."""
    reference: Literal["moving", "fixed"] = "moving"
    """moving: each iteration is anchored on the policy it starts from; fixed: on the reference policy."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=0.5)
    """ε, the assumed probability that a label is wrong."""

    @model_validator(mode="after")
    def _labels_fit(self) -> "IterativeDPO":
        if self.labels == "soft":
            raise ValueError("labels is soft, which the logistic loss does not read: set labels to sampled or binary")
        return self

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, classify against the anchor."""
        current = PolicyRef(iteration - 1)
        return (
            Phase(
                name="main",
                samples=(Sampling({current: 1.0}, self.samples, temperature=self.temperature),),
                comparisons=self.comparisons,
                labels=self.labels,
                reduction=self.reduction,
                anchors={current if self.reference == "moving" else REFERENCE: 1.0},
                link="logistic",
                beta=self.beta,
                label_smoothing=self.label_smoothing,
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
