"""IPO: identity preference optimization of given pairs (arXiv 2310.12036).

Game        none: max_π P(π ≻ μ) − τ KL(π‖π_ref) for the fixed behaviour policy μ, here π_ref
Update      π ∝ π_ref exp(P(y ≻ π_ref) / τ), the best response, reached at once and kept
η           there is none; τ is the paper's own
Guarantee   exact in one iteration. It is a best response, not a Nash policy: its gap does not fall further.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Literal

from ..preference import Array, Game, best_response
from .base import Solver


class IPO(Solver):
    """IPO's one iterate, again and again."""

    name: Literal["ipo"] = "ipo"

    def iterates(self, game: Game) -> Iterator[Array]:
        """The best response to the reference policy."""
        return repeat(best_response(game, game.log_reference))
