"""Guards: a judge that goes by the position or the length of answers, or often gives no verdict, stops the step."""

from collections.abc import Mapping

from pydantic import Field

from ..core.errors import UserError
from ..core.settings import Settings
from ..oracles.conduct import shares, surely_above

_SAID = {
    "position": ("position_share", "of its verdicts the position decides: the same place wins in both orders"),
    "length": ("length_preference", "of its verdicts on texts of different lengths it prefers the longer one"),
    "abstentions": ("abstention_share", "of its calls it gives no verdict"),
}


class GuardSettings(Settings):
    """Limits of the judge's conduct in a shard; where one is exceeded by more than chance, the step stops with the
    reason, and goes on where it was when the limit is raised. 1: no limit."""

    position: float = Field(0.95, ge=0.0, le=1.0)
    """Largest share of verdicts in which the position decides: the answer shown first wins in both orders, or the
    second one."""
    length: float = Field(0.95, ge=0.0, le=1.0)
    """Largest share of the longer text's wins, among texts of different lengths (in characters)."""
    abstentions: float = Field(0.5, ge=0.0, le=1.0)
    """Largest share of calls without a verdict."""

    def watch(self, counts: Mapping[str, float], signature: str) -> None:
        """Hold the limits against the counts of judging so far; `signature` is the oracle's.

        Raises:
            UserError: one is exceeded.
        """
        for limit, (figure, said) in _SAID.items():
            most: float = getattr(self, limit)
            if surely_above(counts, figure, most):
                raise UserError(
                    f"the oracle {signature}: in {shares(counts)[figure]:.1%} {said}; {figure} is above "
                    f"judging.guards.{limit} = {most:g}: mend or change the oracle, or raise that limit (1: none) and "
                    "run the same command again, which asks nothing twice"
                )
