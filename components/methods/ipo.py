"""IPO: identity preference optimization on given pairs (arXiv 2310.12036, eq. 17).

Game        none: max_π P(π ≻ μ) − τ KL(π‖π_ref) against the policy μ that the pairs come from
Update      π ∝ π_ref exp(P(y ≻ μ) / τ), the best response to μ
Loss        E (D − D_ref − 1/(2τ))² on given pairs
Assumes     the pairs' responses are drawn iid from μ, and labelled by the oracle.
Guarantee   none of the equilibrium: more iterations see more pairs of the same μ, and the target stays.
τ           the KL weight. There is no η.
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import KL_WEIGHT, Method
from .phases import Phase, PolicyRef, Reduction


class IPO(Method):
    """Identity preference optimization on given pairs."""

    name: Literal["ipo"] = "ipo"
    tau: Annotated[float, KL_WEIGHT] = Field(gt=0.0)
    """τ, the KL weight."""
    reduction: Reduction = "sum"
    """A response's log-probability is the sum of its tokens' (the theory) or their mean (some published code)."""

    @property
    def game_tau(self) -> None:
        """It plays no game: the opponent, who the pairs come from, never moves."""
        return None

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: regress on anchor π_ref, on pairs that come with the prompts."""
        return (
            Phase(
                name="main",
                given="pairs",
                comparisons="given",
                labels="binary",
                reduction=self.reduction,
                anchors={self.pi_ref: 1.0},
                link="squared",
                target=1.0 / (2.0 * self.tau),
                start_from=PolicyRef(iteration - 1),
                result=PolicyRef(iteration),
            ),
        )
