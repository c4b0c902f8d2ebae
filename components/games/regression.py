"""The limit of a preference regression with infinite data: the exact minimiser of its population loss.

Pairs y, y′ are drawn iid from a sampler μ and labelled by a preference matrix P; a policy π is fitted through the
margin h = u(y_w) − u(y_l) of its log-ratio u = log π − log base, where log base = Σ_j w_j log π_j over the anchors.
Which method this is, only the values tell. Arrays are as in `preference`: (..., n) and (..., n, n), with leading axes
for contexts. For thresholded labels the caller gives the matrix 1[P > 1/2], ties at 1/2.
"""

import numpy as np

from ..core.errors import UserError
from .preference import Array, log_normalise, win_rates


class NoFiniteMinimiser(UserError):
    """The loss has no minimiser: some margin would grow without end."""


def squared_minimiser(log_base: Array, log_sampler: Array, matrix: Array, target: float) -> Array:
    """The policy (..., n) minimising E (h − c)², c the target: log π = log base + 2c P(y ≻ μ) + constant.

    Soft labels, E (h − c (2p − 1))² with p = P(y ≻ y′), have the same minimiser.
    """
    return log_normalise(log_base + 2 * target * win_rates(matrix, log_sampler))


def logistic_minimiser(
    log_base: Array,
    log_sampler: Array,
    matrix: Array,
    beta: float,
    label_smoothing: float = 0.0,
    kept: Array | None = None,
) -> Array:
    """The policy (..., n) minimising E[−(1 − ε) log σ(βh) − ε log σ(−βh)], ε the label smoothing.

    `kept` (..., n, n), symmetric, is how often a pair of two responses is kept; by default always. Stationarity,
    divided by μ(y): Σ_y′ kept(y, y′) μ(y′) [σ(β (u(y) − u(y′))) − P_ε(y, y′)] = 0, with P_ε = (1 − ε) P + ε Pᵀ.
    Groups of responses that no chain of kept pairs connects are never compared: u has the same mean under μ in each.

    Raises:
        NoFiniteMinimiser: some responses never lose to those that they are compared with (Ford's condition).
    """
    kept = np.ones(matrix.shape[-2:]) if kept is None else kept
    smoothed = (1 - label_smoothing) * matrix + label_smoothing * np.swapaxes(matrix, -1, -2)
    return log_normalise(log_base + _bradley_terry(smoothed, log_sampler, kept) / beta)


def unpaired_minimiser(log_base: Array, log_sampler: Array, matrix: Array, target: float) -> Array:
    """The policy (..., n) minimising E_{y~μ} (log π(y) − a(y))², a = log base + c (2 P(y ≻ μ) − 1), c the target.

    Among normalised policies, unlike a regression with a free constant. Stationarity is log π + κ π / μ = a, where κ is
    the multiplier of Σ π = 1; Lambert's W solves it: κ π / μ = W(κ e^a / μ). Win rates estimated from K responses, the
    response itself among them, are on average (K − 1) / K as far from 1/2: multiply the target by that.

    Raises:
        ValueError: e^a sums to less than one, which makes the problem non-convex; it cannot when base is μ.
    """
    wanted = log_base + target * (2 * win_rates(matrix, log_sampler) - 1)
    excess, log_policy = np.zeros_like(wanted), wanted
    multiplier = np.zeros((*wanted.shape[:-1], 1))
    for _ in range(100):
        # 1 / Σ π is concave in κ, as W(x) / x is a Stieltjes function: Newton's steps from κ = 0 climb to its root
        log_total = np.logaddexp.reduce(log_policy, axis=-1, keepdims=True)
        if log_total.min() < -1e-9:
            raise ValueError("unpaired minimiser: the base has too little mass where the sampler has its own")
        curvature = 2 * log_policy - log_sampler - np.log1p(excess)
        log_slope = np.logaddexp.reduce(curvature, axis=-1, keepdims=True)
        multiplier = multiplier - np.exp(2 * log_total - log_slope) * np.expm1(-log_total)
        excess = _lambert(np.log(np.maximum(multiplier, 1e-300)) + wanted - log_sampler)
        log_policy = wanted - excess
        if log_total.max() < 1e-9:
            # convergence is quadratic: the error after this step is rounding
            return log_normalise(log_policy)
    raise RuntimeError(f"unpaired minimiser: log of the total is {log_total.max():g} after 100 iterations")


def _lambert(log_argument: Array) -> Array:
    """W(x) from log x: v = log W solves e^v + v = log x; Newton steps from above never overshoot."""
    log_value = np.minimum(log_argument, np.log(np.maximum(log_argument, 1)))
    for _ in range(8):
        value = np.exp(log_value)
        log_value = log_value - (value + log_value - log_argument) / (value + 1)
    return np.asarray(np.exp(log_value))


def _bradley_terry(matrix: Array, log_sampler: Array, kept: Array) -> Array:
    """βu (..., n), of mean 0 under the sampler in every group, by damped Newton.

    The loss is self-concordant in the spread r of a step, so steps shortened by log(1 + r) / r always descend (Bach,
    arXiv 0910.4627). Rows divided by the mass of their pairs keep the system well-conditioned however rare a response
    is.
    """
    scores = np.zeros(np.broadcast_shapes(matrix.shape[:-1], log_sampler.shape))
    weight, mean = _partner_law(log_sampler, kept), _group_law(log_sampler, _groups(matrix, kept))
    for _ in range(500):
        # sigmoid through logaddexp keeps relative precision in both tails
        sigmoid = np.exp(-np.logaddexp(0, scores[..., None, :] - scores[..., :, None]))
        residual = ((sigmoid - matrix) * weight).sum(axis=-1)
        curvature = sigmoid * np.swapaxes(sigmoid, -1, -2) * weight
        diagonal = curvature.sum(axis=-1)[..., None] * np.eye(matrix.shape[-1])
        # adding its group's mean to every row removes the null directions (a constant for each group), nothing else
        step = -np.linalg.solve(diagonal - curvature + mean, residual[..., None])[..., 0]
        spread = np.ptp(step, axis=-1, keepdims=True)
        if spread.max() < 1e-8:
            # convergence is quadratic: the error after this step is rounding
            return np.asarray(scores + step)
        scores = scores + step * np.log1p(spread) / np.maximum(spread, 1e-300)
    raise RuntimeError(f"logistic minimiser: last Newton step {spread.max():g} after 500 iterations")


def _partner_law(log_sampler: Array, kept: Array) -> Array:
    """Distribution of a response's opponents: row y is the law of y′ ≠ y among its kept pairs, or y itself if it has
    none."""
    same = np.eye(kept.shape[-1], dtype=bool)
    others = np.where(same, 0.0, kept)
    others = np.where(same & (others.sum(axis=-1, keepdims=True) == 0), 1.0, others)
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(log_normalise(log_sampler[..., None, :] + np.log(others))))


def _group_law(log_sampler: Array, groups: Array) -> Array:
    """Row y is the sampler restricted to the group of y."""
    return np.asarray(np.exp(log_normalise(np.where(groups > 0, log_sampler[..., None, :], -np.inf))))


def _groups(matrix: Array, kept: Array) -> Array:
    """1 where chains of possible wins lead from a response to another, as they must both ways or not at all."""
    reach = ((matrix * kept > 0) | np.eye(matrix.shape[-1], dtype=bool)).astype(np.float64)
    for _ in range(matrix.shape[-1].bit_length()):
        reach = np.minimum(reach @ reach, 1)
    if (reach != np.swapaxes(reach, -1, -2)).any():
        raise NoFiniteMinimiser(
            "logistic loss: no finite minimiser, because some responses never lose to the others under these labels; "
            "set label_smoothing above 0, or sampled instead of thresholded labels"
        )
    return np.asarray(reach)
