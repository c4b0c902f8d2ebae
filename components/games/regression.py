"""What a preference regression converges to with endless data: the exact minimiser of its population loss.

Pairs y, y′ are drawn iid from a sampler μ and labelled by a preference matrix P; a policy π is fitted through the
margin h = u(y_w) − u(y_l) of its log-ratio u = log π − log base, where log base = Σ_j w_j log π_j over the anchors.
Which method this is, only the values tell. Arrays are as in `preference`: (..., n) and (..., n, n), with leading axes
for contexts. For thresholded labels the caller gives the matrix 1[P > 1/2], ties at 1/2.
"""

import numpy as np

from ..shared.errors import UserError
from .preference import Array, log_normalise, win_rates


class NoFiniteMinimiser(UserError):
    """The loss has no minimiser: some margin would grow without end."""


def squared_minimiser(log_base: Array, log_sampler: Array, matrix: Array, target: float) -> Array:
    """The policy (..., n) minimising E (h − c)², c the target: log π = log base + 2c P(y ≻ μ) + constant.

    Soft labels, E (h − c (2p − 1))² with p = P(y ≻ y′), have the same minimiser.
    """
    return log_normalise(log_base + 2 * target * win_rates(matrix, log_sampler))


def logistic_minimiser(
    log_base: Array, log_sampler: Array, matrix: Array, beta: float, label_smoothing: float = 0.0
) -> Array:
    """The policy (..., n) minimising E[−(1 − ε) log σ(βh) − ε log σ(−βh)], ε the label smoothing.

    Stationarity, divided by μ(y): Σ_y′ μ(y′) [σ(β (u(y) − u(y′))) − P_ε(y, y′)] = 0, with P_ε = (1 − ε) P + ε Pᵀ.

    Raises:
        NoFiniteMinimiser: some responses never lose to the rest (Ford's condition).
    """
    smoothed = (1 - label_smoothing) * matrix + label_smoothing * np.swapaxes(matrix, -1, -2)
    _require_finite_minimiser(smoothed)
    return log_normalise(log_base + _bradley_terry(smoothed, np.exp(log_sampler)) / beta)


def _bradley_terry(matrix: Array, sampler: Array) -> Array:
    """βu (..., n) with mean 0 under the sampler, by damped Newton.

    The loss is self-concordant in the spread r of a step, so steps shortened by log(1 + r) / r always descend (Bach,
    arXiv 0910.4627). Rows divided by μ(y) keep the system well-conditioned however rare a response is.
    """
    scores = np.zeros(np.broadcast_shapes(matrix.shape[:-1], sampler.shape))
    weight = sampler[..., None, :]
    for _ in range(500):
        # sigmoid through logaddexp keeps relative precision in both tails
        sigmoid = np.exp(-np.logaddexp(0, scores[..., None, :] - scores[..., :, None]))
        residual = ((sigmoid - matrix) * weight).sum(axis=-1)
        curvature = sigmoid * np.swapaxes(sigmoid, -1, -2) * weight
        diagonal = curvature.sum(axis=-1)[..., None] * np.eye(matrix.shape[-1])
        # adding μ to every row removes the null direction (a common constant) and nothing else
        step = -np.linalg.solve(diagonal - curvature + weight, residual[..., None])[..., 0]
        spread = np.ptp(step, axis=-1, keepdims=True)
        if spread.max() < 1e-8:
            # convergence is quadratic: the error after this step is rounding
            return np.asarray(scores + step)
        scores = scores + step * np.log1p(spread) / np.maximum(spread, 1e-300)
    raise RuntimeError(f"logistic minimiser: last Newton step {spread.max():g} after 500 iterations")


def _require_finite_minimiser(matrix: Array) -> None:
    """The graph of possible wins must lead from every response to every other."""
    reach = (matrix > 0).astype(np.float64)
    for _ in range(matrix.shape[-1].bit_length()):
        reach = np.minimum(reach @ reach, 1)
    if (reach == 0).any():
        raise NoFiniteMinimiser(
            "logistic loss: no finite minimiser, because some responses never lose to the others under these labels; "
            "set label_smoothing above 0, or sampled instead of thresholded labels"
        )
