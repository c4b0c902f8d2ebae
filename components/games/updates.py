"""Exact tabular updates of the methods: what one iteration does when nothing is sampled and nothing is fitted."""

import numpy as np

from ..shared.errors import UserError
from .preference import Array, Game, log_normalise, win_rates


def mirror_step(game: Game, log_base: Array, log_opponent: Array, step: float) -> Array:
    """One step of mirror descent from `base` against `opponent`; every regularised method is one or two of these.

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


def inpo(game: Game, log_policy: Array, eta: float) -> Array:
    """INPO (arXiv 2407.00617, eq. 4): a mirror step against oneself; η is the inverse learning rate, η ≥ τ."""
    return mirror_step(game, log_policy, log_policy, 1 / eta)


def iterative_dpo(matrix: Array, log_policy: Array, log_anchor: Array, beta: float) -> Array:
    """Iterative DPO (RLHF Workflow, arXiv 2405.07863): the DPO minimiser on pairs of `policy`, relative to `anchor`.

    Bradley-Terry rewards are fitted to the policy's own pairs, then π ∝ anchor exp(reward / β). The anchor is the
    policy itself (moving reference) or the reference policy. Shapes (n, n), (n,), (n,) and (n,).
    """
    return log_normalise(log_anchor + bradley_terry_rewards(matrix, log_policy) / beta)


def bradley_terry_rewards(matrix: Array, log_policy: Array) -> Array:
    """Rewards (n,) maximising the likelihood of verdicts from `matrix` on pairs drawn iid from `policy`; mean 0.

    Logistic regression on differences of indicators by Newton's method, each step a weighted least-squares problem. The
    likeliest response is the origin, and columns are scaled, so that rare responses are fitted as well as likely ones.

    Raises:
        UserError: a verdict is certain (0 or 1); rewards may then be infinite.
        RuntimeError: the steps do not become small.
    """
    count = len(log_policy)
    off_diagonal = matrix[~np.eye(count, dtype=bool)]
    if not ((off_diagonal > 0) & (off_diagonal < 1)).all():
        raise UserError("preference matrix: Bradley-Terry rewards need probabilities strictly between 0 and 1")
    first, second = np.triu_indices(count, k=1)
    others = np.delete(np.eye(count), log_policy.argmax(), axis=1)
    design = others[first] - others[second]
    root_probability = np.exp((log_policy[first] + log_policy[second]) / 2)
    wins = matrix[first, second]
    scores = np.zeros(count - 1)
    for _ in range(200):
        predicted = 1 / (1 + np.exp(-design @ scores))
        deviation = np.sqrt(predicted * (1 - predicted))
        weighted = design * (root_probability * deviation)[:, None]
        lengths = np.linalg.norm(weighted, axis=0)
        step = np.linalg.lstsq(weighted / lengths, root_probability * (wins - predicted) / deviation)[0] / lengths
        scores = scores + step
        if np.abs(step).max() < 1e-5:
            # convergence is quadratic: what is left is rounding
            rewards = others @ scores
            return np.asarray(rewards - rewards.mean())
    raise RuntimeError(f"Bradley-Terry fit of {count} responses: last step {np.abs(step).max():g} after 200 iterations")
