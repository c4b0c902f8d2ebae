"""The duality gap of probabilities on a preference matrix."""

from collections.abc import Sequence

import numpy as np

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Array, Game, check_matrix, duality_gap

_Numbers = Array | Sequence[float]


def gap_of(
    matrix: Array | Sequence[Sequence[float]], policy: _Numbers, tau: float = 0.0, reference: _Numbers | None = None
) -> float:
    """How much the policy's opponents can gain on it: max_p J(p, π) − min_q J(π, q), 0 at the equilibrium alone.

    Args:
        matrix: P[i, j] = P(response i ≻ response j), (n, n).
        policy: probabilities of the n responses; some may be 0.
        tau: KL weight of the game.
        reference: probabilities of the reference policy, above 0; uniform unless given.

    Raises:
        UserError: the matrix is none of preferences, or there are no n probabilities that sum to one.
    """
    numbers = np.asarray(matrix, dtype=np.float64)
    check_matrix(numbers)
    uniform = np.full(len(numbers), 1 / len(numbers))
    against = _logs("reference", uniform if reference is None else reference, numbers)
    return float(duality_gap(Game(numbers, against, tau), _logs("policy", policy, numbers)))


def _logs(name: str, probabilities: _Numbers, matrix: Array) -> Array:
    """Log-probabilities, finite: p log p of a probability of 0 is 0 as it is of the least number above it."""
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != matrix.shape[-1:]:
        raise UserError(
            f"{name}: shape {values.shape} for a matrix of shape {matrix.shape}; give one number for each row"
        )
    if not (values >= 0).all() or not abs(values.sum() - 1) <= 1e-6:
        raise UserError(f"{name}: no probabilities: the least is {values.min():g}, and they sum to {values.sum():g}")
    return np.asarray(np.log(np.maximum(values, np.finfo(np.float64).tiny)))
