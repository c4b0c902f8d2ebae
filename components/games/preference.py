"""Preference games: win rates, the KL-regularised payoff, best responses and duality gaps, exact and in float64.

A policy over n responses is the array of its log-probabilities, shape (..., n), finite everywhere; a preference matrix
has P[i, j] = P(response i ≻ response j), shape (..., n, n). Leading axes are contexts and broadcast: every quantity
comes out per context, and the caller averages. The game (INPO, arXiv 2407.00617, eq. 3) is

    J(p, q) = pᵀ P q − τ KL(p ‖ π_ref) + τ KL(q ‖ π_ref)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError

Array = NDArray[np.float64]

EXACT = 1e-9
"""How far P + Pᵀ may be from 1."""


@dataclass(frozen=True, eq=False)
class Game:
    """A symmetric two-player game: `matrix` P (..., n, n), `log_reference` log π_ref (..., n), KL weight `tau` ≥ 0.

    Raises:
        UserError: P is no preference matrix, π_ref lacks full support, or τ is negative.
    """

    matrix: Array
    log_reference: Array
    tau: float

    def __post_init__(self) -> None:
        check_matrix(self.matrix)
        if self.log_reference.shape[-1:] != self.matrix.shape[-1:]:
            raise UserError(
                f"reference: {self.log_reference.shape[-1]} probabilities for {self.matrix.shape[-1]} responses; "
                "give one for each row of the matrix"
            )
        if not np.isfinite(self.log_reference).all():
            raise UserError("reference: every response needs a probability above 0")
        if not 0 <= self.tau < np.inf:
            raise UserError(f"tau: {self.tau} is no KL weight; set a finite number >= 0")


def check_matrix(matrix: Array) -> None:
    """Raise if the array (..., n, n) is not a preference matrix.

    Raises:
        UserError: it is not square or not finite, leaves [0, 1], or P + Pᵀ is not 1.
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.size:
        raise UserError(f"preference matrix: shape {matrix.shape} is not square; give n rows of n numbers")
    if not np.isfinite(matrix).all():
        raise UserError("preference matrix: every entry must be a finite number")
    if matrix.min() < 0 or matrix.max() > 1:
        raise UserError(f"preference matrix: entries must be probabilities, found {matrix.min():g} to {matrix.max():g}")
    excess = np.abs(matrix + np.swapaxes(matrix, -1, -2) - 1)
    if excess.max() > EXACT:
        *_, i, j = np.unravel_index(excess.argmax(), excess.shape)
        raise UserError(
            f"preference matrix: P[{i}, {j}] + P[{j}, {i}] must be 1 (and P[i, i] 0.5), off by {excess.max():g}"
        )


def log_normalise(logits: Array) -> Array:
    """Log-probabilities of the distribution proportional to exp(logits), over the last axis."""
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


def win_rates(matrix: Array, log_opponent: Array) -> Array:
    """P(y ≻ opponent) of each response y, shape (..., n): the matrix times the opponent's probabilities."""
    return np.asarray((matrix @ np.exp(log_opponent)[..., None])[..., 0])


def kl_divergence(log_p: Array, log_q: Array) -> Array:
    """KL(p ‖ q) in nats, shape (...)."""
    return np.asarray((np.exp(log_p) * (log_p - log_q)).sum(axis=-1))


def payoff(game: Game, log_p: Array, log_q: Array) -> Array:
    """J(p, q) of the row player, shape (...)."""
    win_rate = (np.exp(log_p) * win_rates(game.matrix, log_q)).sum(axis=-1)
    penalty = kl_divergence(log_p, game.log_reference) - kl_divergence(log_q, game.log_reference)
    return np.asarray(win_rate - game.tau * penalty)


def best_response(game: Game, log_opponent: Array) -> Array:
    """The policy that maximises J(·, opponent): π ∝ π_ref exp(P(y ≻ opponent) / τ), shape (..., n).

    Raises:
        UserError: τ is 0; the best responses are then vertices, without log-probabilities.
    """
    require_regularised(game)
    return log_normalise(game.log_reference + win_rates(game.matrix, log_opponent) / game.tau)


def duality_gap(game: Game, log_policy: Array) -> Array:
    """max_p J(p, π) − min_q J(π, q) in closed form, shape (...): never negative, zero at the Nash policy alone.

    By the game's symmetry both halves are equal. With τ = 0 the best response is the response of highest win rate.
    """
    rates = win_rates(game.matrix, log_policy)
    best = _best_value(game, rates) + game.tau * kl_divergence(log_policy, game.log_reference)
    return np.asarray(np.maximum(2 * best - 1, 0))


def _best_value(game: Game, rates: Array) -> Array:
    """max_p [p · rates − τ KL(p ‖ π_ref)], shape (...)."""
    if game.tau == 0:
        return np.asarray(rates.max(axis=-1))
    return np.asarray(game.tau * np.logaddexp.reduce(game.log_reference + rates / game.tau, axis=-1))


def require_regularised(game: Game) -> None:
    """Refuse a game without KL term: its Nash policy and best responses need not be unique.

    Raises:
        UserError: τ is 0.
    """
    if game.tau == 0:
        raise UserError("tau: 0 gives no unique policy with full support; set tau > 0")
