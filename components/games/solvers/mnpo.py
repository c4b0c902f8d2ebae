"""MNPO, time-dependent: multiplayer Nash preference optimization (arXiv 2509.23102, eq. 15).

Game        regularised with τ; the players are the policy and its own past
Update      log π_{t+1} = (τ/η) log π_ref + (1 − τ/η) Σ_j l_j log π_{t−j} + P(y ≻ π_t) / η + constant: the opponent is
            π_t, who generates the pairs, and the past enters as the base alone
η           the inverse learning rate, η ≥ τ; the paper's ratio is τ/η
Guarantee   the fixed point is the Nash policy of the regularised game for any l; the paper claims an average gap of
            O(1/√T) when all players are equal. The heterogeneous game of n distinct policies is not this solver's.
"""

from collections import deque
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from ..preference import Array, Game
from ..updates import mirror_step
from .base import Solver, step_of_inverse


class MNPO(Solver):
    """MNPO's exact iterates."""

    name: Literal["mnpo"] = "mnpo"
    eta: float = Field(1.0, gt=0)
    """η, the inverse learning rate."""
    history: tuple[Annotated[float, Field(ge=0)], ...] = (0.5, 0.5)
    """l, the weights of π_t, π_{t−1}, …, which sum to one; rescaled to do so while there are fewer policies."""

    @field_validator("history")
    @classmethod
    def _sums_to_one(cls, history: tuple[float, ...]) -> tuple[float, ...]:
        if abs(sum(history) - 1) > 1e-9:
            raise ValueError(f"the weights sum to {sum(history):g}, not to 1; give some such as [0.5, 0.5]")
        if history[0] == 0:
            raise ValueError("the weight of the current policy, which comes first, is 0; set it above 0")
        return history

    def iterates(self, game: Game) -> Iterator[Array]:
        """π_2, π_3, …"""
        step, policy = step_of_inverse(self.eta, game.tau), game.log_reference
        past = deque([policy], maxlen=len(self.history))
        while True:
            weights = np.array(self.history[: len(past)])
            base = sum(weight * old for weight, old in zip(weights / weights.sum(), past, strict=True))
            policy = mirror_step(game, np.asarray(base), policy, step)
            past.appendleft(policy)
            yield policy
