"""DNO-Prct: direct Nash optimization as it is run (arXiv 2404.03715, algorithm 2), on its own pairs.

Game        none: iterative DPO on pairs with a large margin
Update      π_{t+1} = argmin E_{y,y′~π_t} [1{|2P − 1| ≥ m} (−log σ(βh))], h relative to π_t
β, m        the KL weight of DPO and the least margin of a pair; there is no η
Guarantee   none: what its filter drops, the loss does not see
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..preference import Array, Game
from ..regression import logistic_minimiser
from .base import Solver


class DNO(Solver):
    """DNO-Prct's iterates, each the population minimiser of its loss; the teacher's responses have no part in it."""

    name: Literal["dno"] = "dno"
    regularised: ClassVar[bool] = False
    beta: float = Field(1.0, gt=0)
    """β, the KL weight of DPO."""
    margin: float = Field(0.0, ge=0, lt=1)
    """m: a pair is kept if |2P − 1|, how far its preference is from a tie, is at least this."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        kept = (np.abs(2 * game.matrix - 1) >= self.margin).astype(np.float64)
        policy = game.log_reference
        while True:
            policy = logistic_minimiser(policy, policy, game.matrix, self.beta, kept=kept)
            yield policy
