"""Nash-MD-PG: Nash-MD's policy gradient (Munos et al., arXiv 2312.00886), on tabular logits.

Game        regularised with τ
Update      θ += l ∇_θ E_{y~π} [A(y)], A(y) = P(y ≻ μ) − τ log (π / π_ref)(y), gradients through the sampling alone, so
            θ(y) += l π(y) (A(y) − E_π A); μ ∝ π^{1−w} π_ref^w
l, w        the learning rate and the mixture's weight; there is no η. The gradient carries a factor π(y): what is rare
            moves slowly.
Guarantee   none for the last iterate; its fixed point is not the Nash policy unless w = 0
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from ..preference import Array, Game, log_normalise, win_rates
from ..updates import geometric_mixture
from .base import Solver


class NashMDPG(Solver):
    """The iterates of Nash-MD's exact policy gradient: an update a step."""

    name: Literal["nash_md_pg"] = "nash_md_pg"
    learning_rate: float = Field(0.1, gt=0)
    """l, of plain gradient ascent on the logits."""
    mixture: float = Field(0.125, ge=0, le=1)
    """w, the reference's weight in the opponent."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """The policy after each update."""
        policy = game.log_reference
        while True:
            opponent = geometric_mixture(policy, game.log_reference, self.mixture)
            advantage = win_rates(game.matrix, opponent) - game.tau * (policy - game.log_reference)
            probability = np.exp(policy)
            advantage = advantage - (probability * advantage).sum(axis=-1, keepdims=True)
            policy = log_normalise(policy + self.learning_rate * probability * advantage)
            yield policy
