"""The Nash policy of a regularised preference game, to machine precision, and how the game turns around it."""

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


def rotation(game: Game, log_nash: Array) -> Array:
    """ω (...): how fast policies near the Nash policy turn around it, in radians per unit of step; 0 if transitive.

    The largest eigenvalue, in absolute value, of (P − 1/2) Cov(π*): all are imaginary, because P − 1/2 is antisymmetric
    and the covariance Cov(π*) = diag(π*) − π* π*ᵀ is not negative.
    """
    nash = np.exp(log_nash)
    covariance = nash[..., None] * np.eye(nash.shape[-1]) - nash[..., None] * nash[..., None, :]
    return np.asarray(np.abs(np.linalg.eigvals((game.matrix - 0.5) @ covariance)).max(axis=-1))


def least_eta(game: Game, turning: Array) -> Array:
    """The η (...) above which the Nash policy attracts INPO's iterates, for a game of rotation ω = `turning`.

    Near it, an iteration multiplies the distance by |1 − τ/η ± iω/η| at most, which is below 1 where
    η > (τ² + ω²) / (2τ). INPO has no η below τ.
    """
    return np.asarray(np.maximum(game.tau, (game.tau**2 + turning**2) / (2 * game.tau)))
