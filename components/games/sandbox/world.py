"""The sandbox world: a preference game that a real language model plays and that can be solved exactly.

Eight contexts; a response is two symbols out of five, so there are 25; preferences in every context are general: unless
one sets it otherwise, mostly cyclic and a little transitive.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..preference import Array, log_normalise
from .settings import WorldSettings

CONTEXTS = 8
SYMBOLS = ("a", "b", "c", "d", "e")
SYMBOLS_PER_RESPONSE = 2
RESPONSES = tuple(product(SYMBOLS, repeat=SYMBOLS_PER_RESPONSE))
"""Response i is the i-th pair of symbols, the last symbol changing fastest."""

_FACTORS = 4
_TRANSITIVE_STRENGTH = 0.5


@dataclass(frozen=True, eq=False)
class World:
    """One world: `matrix` (8, 25, 25) of preferences, and `log_target` (8, 25), which the reference is fitted to."""

    matrix: Array
    log_target: Array

    def preference(self, context: int, first: int | None, second: int | None) -> float:
        """P(first response is preferred); None stands for a malformed response, which loses to every other one."""
        if first is None or second is None:
            return 0.5 + 0.5 * ((second is None) - (first is None))
        return float(self.matrix[context, first, second])


def make_world(settings: WorldSettings) -> World:
    """The world of these settings: standard normals U, W, q, z in this order, context by context, by the seed.

    U, W: 25 × 4; q, z: 25. Z = (U Wᵀ − W Uᵀ) / 2, P[i, j] = σ(intransitivity Z[i, j] + 0.5 (q_i − q_j)), the target is
    softmax(z).
    """
    random = np.random.default_rng(settings.seed)
    matrices, targets = [], []
    for _ in range(CONTEXTS):
        u, w = random.standard_normal((2, len(RESPONSES), _FACTORS))
        quality, logits = random.standard_normal((2, len(RESPONSES)))
        cyclic = (u @ w.T - w @ u.T) / 2
        margin = settings.intransitivity * cyclic + _TRANSITIVE_STRENGTH * (quality[:, None] - quality[None, :])
        matrices.append(1 / (1 + np.exp(-margin)))
        targets.append(log_normalise(logits))
    return World(np.stack(matrices), np.stack(targets))
