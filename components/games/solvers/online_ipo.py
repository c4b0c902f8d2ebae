"""Online IPO: identity preference optimization on the live policy's own pairs (arXiv 2403.08635), on tabular logits.

Game        regularised with τ
Update      gradient descent with learning rate l on a loss of u = log (π / π_ref), the sampling not differentiated:
            policy   E_{y,y′~π} (u(y) − u(y′) − (P(y ≻ y′) − 1/2) / τ)², whose gradient is
                     4 π(y) [u(y) − E_π u − (P(y ≻ π) − 1/2) / τ];
            uniform  E_{y,y′~uniform} (u(y) − u(y′) − (P(y ≻ π) − P(y′ ≻ π)) / τ)², whose gradient step is INPO's
                     update with the step 4 l / (τ n)
l           the learning rate; there is no η
Guarantee   every fixed point is the Nash policy; none of reaching it (uniform: INPO's)
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from ..preference import Array, Game, log_normalise, win_rates
from ..updates import mirror_step
from .base import Solver, require_tau, step_of_rate


class OnlineIPO(Solver):
    """The iterates of online IPO's exact gradient descent: an update a step."""

    name: Literal["online_ipo"] = "online_ipo"
    learning_rate: float = Field(0.1, gt=0)
    """l, of plain gradient descent on the logits."""
    sampler: Literal["policy", "uniform"] = "policy"
    """Who generates the pairs: the live policy, or the uniform one, compared by how they do against the live policy."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """The policy after each update."""
        require_tau(game.tau, "the loss divides by tau")
        return self._from_own_pairs(game) if self.sampler == "policy" else self._from_uniform_pairs(game)

    def _from_own_pairs(self, game: Game) -> Iterator[Array]:
        policy = game.log_reference
        while True:
            probability = np.exp(policy)
            residual = policy - game.log_reference - win_rates(game.matrix, policy) / game.tau
            residual = residual - (probability * residual).sum(axis=-1, keepdims=True)
            policy = log_normalise(policy - 4 * self.learning_rate * probability * residual)
            yield policy

    def _from_uniform_pairs(self, game: Game) -> Iterator[Array]:
        policy, scale = game.log_reference, 4 / game.matrix.shape[-1]
        step_of_rate(self.learning_rate, scale, "learning_rate")
        while True:
            policy = mirror_step(game, policy, policy, self.learning_rate * scale / game.tau)
            yield policy
