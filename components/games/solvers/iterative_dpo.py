"""Iterative DPO (RLHF Workflow, arXiv 2405.07863; the loss is DPO's, arXiv 2305.18290, eq. 7).

Game        none: Bradley-Terry rewards are fitted to the policy's own pairs
Update      π_{t+1} = argmin E_{y,y′~π_t} [−(1−ε) log σ(βh) − ε log σ(−βh)], h relative to π_t or to π_ref
β           the KL weight of DPO; there is no η
Guarantee   where preferences are Bradley-Terry, P(y ≻ y′) = σ(R(y) − R(y′)), π_{t+1} ∝ anchor exp(R / β) at once. Under
            general preferences it depends on who generated the pairs; moving, it may cycle outwards; fixed, where β is
            large, it settles near the Nash policy of τ = β / 4.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from ..preference import Array, Game
from ..regression import logistic_minimiser
from .base import Solver


class IterativeDPO(Solver):
    """The iterates of iterative DPO, each the population minimiser of its loss."""

    name: Literal["iterative_dpo"] = "iterative_dpo"
    regularised: ClassVar[bool] = False
    beta: float = Field(1.0, gt=0)
    """β, the KL weight of DPO."""
    reference: Literal["moving", "fixed"] = "moving"
    """moving: each iteration is anchored on the policy it starts from; fixed: on the reference policy."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """ε, the assumed probability that a label is wrong."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        policy = game.log_reference
        while True:
            anchor = policy if self.reference == "moving" else game.log_reference
            policy = logistic_minimiser(anchor, policy, game.matrix, self.beta, self.label_smoothing)
            yield policy
