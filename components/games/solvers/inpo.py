"""INPO: iterative Nash policy optimization (arXiv 2407.00617, eq. 4).

Game        J(π, π′) = P(π ≻ π′) − τ KL(π‖π_ref) + τ KL(π′‖π_ref)
Update      π_{t+1} ∝ exp(P(y ≻ π_t) / η) π_ref^{τ/η} π_t^{1−τ/η}: a mirror step against oneself
η           the inverse learning rate, η ≥ τ; decreasing: η_t = τ (t + 2) / 2 at t = 1, 2, …, steps that shrink
Guarantee   decreasing: KL(π*‖π_{T+1}) ≤ 32 C² / (τ² (T + 1)), C = max(τ max |log π_t / π_ref|, 1) (theorem 4); fixed η:
            the uniform average's gap is O(1/√T) (theorem 3), and the Nash policy attracts the last iterate where
            η > (τ² + ω²) / (2τ), ω the game's rotation. With τ = 0 the last iterate may cycle.
"""

from collections.abc import Iterator
from itertools import count
from typing import Literal

from ...core.settings import Schedule
from ..preference import Array, Game
from ..updates import mirror_step
from .base import Solver, require_tau, step_of_inverse


class INPO(Solver):
    """INPO's exact iterates."""

    name: Literal["inpo"] = "inpo"
    eta: Schedule = 1.0
    """η, the inverse learning rate of mirror descent, or decreasing."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        policy = game.log_reference
        for iteration in count(1):
            policy = mirror_step(game, policy, policy, self._step(iteration, game.tau))
            yield policy

    def _step(self, iteration: int, tau: float) -> float:
        if self.eta == "decreasing":
            require_tau(tau, "decreasing steps are multiples of 1/tau")
            return 2 / (tau * (iteration + 2))
        return step_of_inverse(self.eta, tau)
