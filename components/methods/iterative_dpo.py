"""Iterative DPO (RLHF Workflow, arXiv 2405.07863; the loss is DPO's, arXiv 2305.18290, eq. 7).

Game        none: it fits a Bradley-Terry reward R, and takes π_anchor exp(R/β).
Loss        −(1−ε) log σ(β h) − ε log σ(−β h),  h = D − D_anchor
Anchor      moving: π_t, the policy at the start of the iteration; fixed: π_ref, as in the experiments of RLHF Workflow.
Assumes     Bradley-Terry preferences, P(y ≻ y') = σ(R(y) − R(y')). Under general preferences the minimiser depends on
            who generated the pairs.
Guarantee   recovers the reward exactly where preferences come from one; where they do not, iterating it may cycle,
            with a small β or with the moving anchor; with the fixed one and β large enough it settles near the
            equilibrium of the regularised game with τ = β/4, since a small reward R is about 4 (P(y ≻ π) − 1/2).
β           the KL weight of DPO. There is no η.
"""

from typing import Literal

from pydantic import Field

from .base import ClassifyingMethod
from .phases import Phase, PolicyRef


class IterativeDPO(ClassifyingMethod):
    """DPO on pairs of the policy in training, iteration by iteration."""

    name: Literal["iterative_dpo"] = "iterative_dpo"
    beta: float = Field(0.1, gt=0.0)
    """β, the KL weight of DPO."""
    reference: Literal["moving", "fixed"] = "moving"
    """Anchor of each iteration. moving: the policy at its start; fixed: the reference policy, as in the recipes of the
    paper."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=0.5)
    """ε, the assumed probability that a label is wrong."""

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, classify against the anchor."""
        current = PolicyRef(iteration - 1)
        return (
            Phase(
                name="main",
                **self.data({current: 1.0}),
                anchors={current if self.reference == "moving" else self.pi_ref: 1.0},
                link="logistic",
                beta=self.beta,
                label_smoothing=self.label_smoothing,
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
