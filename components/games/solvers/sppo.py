"""SPPO: self-play preference optimization (arXiv 2405.00675).

Game        P(π ≻ π′), unregularised
Update      π_{t+1} = argmin E_{y~π_t} (log π(y) / π_t(y) − η (P(y ≻ π_t) − 1/2))² over normalised policies
η           the learning rate (the paper's code: 1000)
Guarantee   none of its own. The paper's is that of multiplicative weights, π_{t+1} ∝ π_t exp(η P(y ≻ π_t)), an average
            gap of O(1/√T); the two differ because the target lacks log Z − η/2, which lies between 0 and η²/8, so only
            a small η makes them one.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from ..preference import Array, Game
from ..regression import unpaired_minimiser
from .base import Solver


class SPPO(Solver):
    """SPPO's iterates, each the population minimiser of its loss."""

    name: Literal["sppo"] = "sppo"
    regularised: ClassVar[bool] = False
    eta: float = Field(1.0, gt=0)
    """η, the learning rate."""

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        policy = game.log_reference
        while True:
            policy = unpaired_minimiser(policy, policy, game.matrix, self.eta / 2)
            yield policy
