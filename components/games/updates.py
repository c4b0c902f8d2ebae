"""The updates that the methods' exact iterations consist of: nothing is sampled, and nothing is fitted."""

import numpy as np

from ..core.errors import UserError
from .preference import Array, Game, log_normalise, win_rates


def mirror_step(game: Game, log_base: Array, log_opponent: Array, step: float) -> Array:
    """One step of mirror descent from `base` against `opponent`.

        log π = (1 − sτ) log base + sτ log π_ref + s P(y ≻ opponent) + constant

    The step s is a learning rate: η of EGPO and ONPO, 1/η of INPO. s = 1/τ gives the best response.

    Raises:
        UserError: s is not positive, or sτ > 1.
    """
    if not 0 < step < np.inf or step * game.tau > 1 + 1e-12:
        raise UserError(f"step: {step} is outside (0, 1 / tau] for tau = {game.tau}")
    pull = step * game.tau
    rates = win_rates(game.matrix, log_opponent)
    return log_normalise((1 - pull) * log_base + pull * game.log_reference + step * rates)


def extragradient_step(game: Game, log_policy: Array, step: float) -> Array:
    """Two mirror steps from the same base: a half step against oneself, the full one against the half step's result."""
    half = mirror_step(game, log_policy, log_policy, step)
    return mirror_step(game, log_policy, half, step)


def geometric_mixture(log_policy: Array, log_other: Array, weight: float) -> Array:
    """The distribution proportional to policy^(1 − weight) other^weight, whole responses at a time."""
    return log_normalise((1 - weight) * log_policy + weight * log_other)
