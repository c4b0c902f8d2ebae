"""ONPO: optimistic Nash policy optimization (arXiv 2502.16852, Algorithm 1).

Game        J(π, π') = P(π ≻ π'), without a KL term: staying near π'_1 = π_1 is implicit.
Update      π'_{t+1} ∝ π'_t exp(η P(y ≻ π_t)), then π_{t+1} ∝ π'_{t+1} exp(η P(y ≻ π_t))   (optimistic mirror descent)
Loss        E (D − D'_t − η/2)² on pairs of π_t, then E (D − D'_{t+1} − η/2)² on the same pairs
Assumes     the pairs' responses are drawn iid from π_t.
Guarantee   for η ≤ 1/2 the gap of the average iterate is at most 2 (D/η + η) / T, D = max KL(π‖π_ref); with a unique
            equilibrium and η ≤ 1/8 the last iterate converges too, at a rate that may be slow.
η           the learning rate of mirror descent.
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import STEP, PairedMethod
from .phases import Phase, PolicyRef


class ONPO(PairedMethod):
    """Optimistic Nash policy optimization."""

    name: Literal["onpo"] = "onpo"
    eta: Annotated[float, STEP] = Field(gt=0.0)
    """η, the learning rate of mirror descent (the paper's recipe: 100; the theory requires at most 1/2)."""

    @property
    def game_tau(self) -> float:
        """Its game has no KL term."""
        return 0.0

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """Two phases on the same pairs: the auxiliary policy, which the next iteration needs too, then the main
        policy."""
        current, auxiliary = PolicyRef(iteration - 1), PolicyRef(iteration, "auxiliary")
        previous = PolicyRef(iteration - 1, "auxiliary") if iteration > 1 else current
        return (
            Phase(
                name="auxiliary",
                **self.data({current: 1.0}),
                anchors={previous: 1.0},
                link="squared",
                target=self.target(self.eta),
                start_from=previous,
                result=auxiliary,
            ),
            Phase(
                name="main",
                data_from="auxiliary",
                reduction=self.reduction,
                anchors={auxiliary: 1.0},
                link="squared",
                target=self.target(self.eta),
                start_from=auxiliary,
                result=PolicyRef(iteration),
            ),
        )
