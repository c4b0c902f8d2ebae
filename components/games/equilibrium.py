"""The Nash policy of a regularised preference game, to machine precision."""

from itertools import islice

import numpy as np

from .preference import Array, Game, require_regularised, win_rates
from .solvers.nash_mp import NashMP


def nash_policy(game: Game, limit: int = 200_000) -> Array:
    """The unique policy (..., n) with log π = log π_ref + P(y ≻ π) / τ + constant, by Nash-MP (arXiv 2505.19731).

    It ends when the fixed point holds, in units of win rate, as closely as float64 allows: an iteration moves the
    policy by τ times the residual, so rounding hides residuals below 1e-16 / τ.

    Raises:
        UserError: τ is 0.
        RuntimeError: the fixed point is not reached after `limit` iterations, as may happen with τ below 1e-4.
    """
    require_regularised(game)
    tolerance = 1e-14 + 1e-16 / game.tau
    for policy in islice(NashMP().iterates(game), limit):
        if (residual := fixed_point_residual(game, policy).max()) <= tolerance:
            return policy
    raise RuntimeError(f"Nash policy: residual {residual:g} after {limit} iterations at tau = {game.tau}")


def fixed_point_residual(game: Game, log_policy: Array) -> Array:
    """How far a policy is from being its own best response, shape (...), in units of win rate.

    The spread over responses of τ log(π / π_ref) − P(y ≻ π): zero at the Nash policy alone.
    """
    excess = game.tau * (log_policy - game.log_reference) - win_rates(game.matrix, log_policy)
    return np.asarray(np.ptp(excess, axis=-1))
