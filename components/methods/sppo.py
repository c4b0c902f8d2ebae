"""SPPO: self-play preference optimization (arXiv 2405.00675, eq. 4.3).

Game        J(π, π') = P(π ≻ π'), without a KL term.
Update      π_{t+1} ∝ π_t exp(η P(y ≻ π_t))   (multiplicative weights), which the loss approximates
Loss        E (log π(y)/π_t(y) − η (P̂(y ≻ π_t) − 1/2))²: the log-partition function is replaced by η/2
Assumes     η is small: 0 ≤ log Z − η/2 ≤ η²/8. The constrained minimiser leaves multiplicative weights as η grows. P̂ is
            the mean over all K responses, y itself at 1/2 among them, which shrinks P − 1/2 by (K − 1)/K.
Guarantee   the average iterate's gap falls as T^−1/2 for exact multiplicative weights; the last iterate may cycle.
η           the learning rate of multiplicative weights (the published code's 1/β, 1000).
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import STEP, SelfPlayMethod
from .phases import Labels, Phase, PolicyRef


class SPPO(SelfPlayMethod):
    """Self-play preference optimization."""

    name: Literal["sppo"] = "sppo"
    eta: Annotated[float, STEP] = Field(gt=0.0)
    """η, the learning rate of multiplicative weights."""
    samples: int = Field(8, ge=2)
    """K, the number of responses sampled per prompt."""
    comparisons: Literal["win_rates", "extremes", "max_min"] = "win_rates"
    """win_rates: all K responses are regressed, each on its mean win rate against the others; extremes: only the best
    and the worst are, as in the published code; max_min: these two are regressed on the result of their own comparison
    (with binary labels, the hard variant: ±η/2)."""
    labels: Labels = "soft"
    """Label of a comparison, from the oracle's probability p. soft: p itself; binary: the response with p > 1/2 wins;
    sampled: the winner is drawn with p; score: the oracle's score instead of 2p - 1, as in GPO (arXiv 2410.02197, whose
    log-partition function stays out)."""

    @property
    def game_tau(self) -> float:
        """Its game has no KL term."""
        return 0.0

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """One phase: sample π_t, regress log π/π_t of each response on its label."""
        current = PolicyRef(iteration - 1)
        return (
            Phase(
                name="main",
                **self.data({current: 1.0}),
                anchors={current: 1.0},
                link="unpaired",
                target=self.eta / 2.0,
                start_from=current,
                result=PolicyRef(iteration),
            ),
        )
