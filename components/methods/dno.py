"""DNO-Prct: direct Nash optimization, its practical form (arXiv 2404.03715, Algorithm 2).

Game        J(π, π') = P(π ≻ π'), without a KL term; DNO itself takes π_{t+1} ∝ π_t exp(P(y ≻ π_t) / η).
Loss        −log σ(β (D − D_t)) on pairs with a large margin among K responses of π_t and one of a teacher
Assumes     nothing that ties its minimiser to DNO's update: that depends on who made the pairs and on the filter.
Guarantee   none of the last iterate; DNO's average iterate is that of soft policy iteration, O(T^−1/2).
β           the KL weight of DPO; the filter keeps pairs with |2p − 1| of at least `margin`.
"""

from typing import Literal

from pydantic import Field

from .base import ClassifyingMethod
from .phases import Phase, PolicyRef


class DNO(ClassifyingMethod):
    """Direct Nash optimization, its practical form."""

    name: Literal["dno"] = "dno"
    beta: float = Field(0.1, gt=0.0)
    """β, the KL weight of DPO."""
    margin: float = Field(0.2, ge=0.0, lt=1.0)
    """Pairs with |2p − 1| below this are dropped; p is the oracle's probability."""
    teacher: bool = True
    """Whether to add to the policy's responses that of a teacher, which comes with the prompt."""
    comparisons: Literal["all_pairs", "max_min"] = "all_pairs"
    """all_pairs: every two of the responses, as in the paper; max_min: highest against lowest mean win rate."""
    labels: Literal["sampled", "binary"] = "binary"
    """Label of a pair, from the oracle's probability p. binary: the response with p > 1/2 wins; sampled: the winner is
    drawn with p."""

    @property
    def game_tau(self) -> float:
        """Its game has no KL term."""
        return 0.0

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, ask the teacher, classify against the anchor π_t."""
        current = PolicyRef(iteration - 1)
        return (
            Phase(
                name="main",
                **self.data({current: 1.0}),
                given="responses" if self.teacher else None,
                margin=self.margin,
                anchors={current: 1.0},
                link="logistic",
                beta=self.beta,
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
