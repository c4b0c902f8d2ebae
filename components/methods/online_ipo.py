"""Online IPO: IPO on pairs of the policy in training (arXiv 2403.08635).

Game        J(π, π') = P(π ≻ π') − τ KL(π‖π_ref) + τ KL(π'‖π_ref)
Loss        E (D − D_ref − z/(2τ))² on pairs of the live policy, sampled anew after every N optimiser updates
Assumes     the pairs' responses are drawn iid from the live policy; N is small. With endless N each round ends at the
            best response to the policy that it began with, and best responses to each other may cycle for ever.
Guarantee   its stationary points are the equilibrium alone, the policy that is its own best response; whether it gets
            there depends on the steps: in skewed games of small τ it does not.
τ           the KL weight of the game. There is no η: the optimiser's learning rate and N decide the step.
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import KL_WEIGHT, PairedMethod
from .phases import Phase, PolicyRef


class OnlineIPO(PairedMethod):
    """IPO on pairs of the policy in training."""

    name: Literal["online_ipo"] = "online_ipo"
    tau: Annotated[float, KL_WEIGHT] = Field(gt=0.0)
    """τ, the KL weight of the game."""
    updates: int = Field(ge=1)
    """N, the number of optimiser updates in each iteration, after which pairs are sampled again."""

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, take N updates on anchor π_ref."""
        current = PolicyRef(iteration - 1)
        return (
            Phase(
                name="main",
                **self.data({current: 1.0}),
                anchors={self.pi_ref: 1.0},
                link="squared",
                target=self.target(1.0 / self.tau),
                updates=self.updates,
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
