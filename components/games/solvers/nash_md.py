"""Nash-MD: Nash mirror descent (Munos et al., arXiv 2312.00886).

Game        regularised with τ
Update      π_{t+1} ∝ μ_t exp(η P(y ≻ μ_t)), μ_t ∝ π_t^{1−ητ} π_ref^{ητ}: a mirror step against the geometric mixture of
            whole responses, which a language model can only approximate token by token
η           the learning rate; decreasing: η_t = 2 / (τ (t + 2)) at t = 1, 2, …
Guarantee   decreasing: KL(π*‖π_{T+1}) ≤ 8 / (τ² (T + 1)). With a fixed η the fixed point is not the Nash policy.
"""

from collections.abc import Iterator
from itertools import count
from typing import Literal

from ...core.settings import Schedule
from ..preference import Array, Game
from ..updates import geometric_mixture, mirror_step
from .base import Solver, require_tau, step_of_rate


class NashMD(Solver):
    """Nash-MD's exact iterates."""

    name: Literal["nash_md"] = "nash_md"
    eta: Schedule = "decreasing"
    """η, the learning rate, or decreasing."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        policy = game.log_reference
        for iteration in count(1):
            step = self._step(iteration, game.tau)
            mixture = geometric_mixture(policy, game.log_reference, step * game.tau)
            policy = mirror_step(game, policy, mixture, step)
            yield policy

    def _step(self, iteration: int, tau: float) -> float:
        if self.eta == "decreasing":
            require_tau(tau, "decreasing steps are multiples of 1/tau")
            return 2 / (tau * (iteration + 2))
        return step_of_rate(self.eta, tau)
