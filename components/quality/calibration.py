"""Whether a judge's probabilities are the frequencies of being right."""

from typing import NamedTuple

import numpy as np

from .pairs import Array

BINS = 10
_LEAST = 1e-4
"""Probabilities nearer to 0 and 1 are taken for this near: their logit would be infinite."""


class Bin(NamedTuple):
    """Pairs of similar confidence."""

    low: float
    high: float
    pairs: int
    confidence: float | None
    """The mean; None in an empty bin."""
    accuracy: float | None
    """The share of them that the judge decides as labelled."""


def reliability(label: Array, probability: Array) -> list[Bin]:
    """The reliability curve: confidence against accuracy in ten bins of confidence, from 1/2 to 1.

    `label` is 1 or 0, `probability` P(1), shape (n,). The confidence is max(p, 1 − p), so that which answer of a pair
    stands first makes no difference. A bin includes its upper end, the first one its lower end too; at 1/2 neither
    answer is decided for, and half of the pairs count as right.
    """
    confidence, right = _confidence(label, probability)
    places = np.clip(np.ceil((confidence - 0.5) * 2 * BINS - 1e-9) - 1, 0, BINS - 1)
    found = []
    for number in range(BINS):
        inside = places == number
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if inside.any() else (None, None)
        found.append(Bin(0.5 + number / (2 * BINS), 0.5 + (number + 1) / (2 * BINS), int(inside.sum()), *means))
    return found


def calibration_error(label: Array, probability: Array) -> float | None:
    """ECE: the mean of |accuracy − mean confidence| over the bins of `reliability`, weighted by their pairs."""
    gaps = [
        each.pairs * abs(each.accuracy - each.confidence)
        for each in reliability(label, probability)
        if each.accuracy is not None and each.confidence is not None
    ]
    return sum(gaps) / len(label) if len(label) else None


def brier(label: Array, probability: Array) -> float | None:
    """The mean of (p − label)², shape (n,): 0 for a judge that knows, 1/4 for one that says 1/2 always."""
    return float(np.mean((probability - label) ** 2)) if len(label) else None


def temperature(label: Array, probability: Array) -> float | None:
    """The T of greatest likelihood for P = σ(logit(p)/T): above 1 the judge is too sure, below 1 not sure enough.

    None where there is none: a judge that is never wrong could be surer without end (T → 0), and one that is right no
    more often than wrong, weighted by its confidence, should say 1/2 always (T → ∞).
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    logit = _logit(probability)

    def slope(inverse: float) -> float:
        """Of the log-likelihood, by 1/T; it falls."""
        return float(np.dot(label - expit(inverse * logit), logit))

    wrong = (label - 0.5) * logit < 0
    if not wrong.any() or slope(0.0) <= 0:
        return None
    upper = 1.0
    while slope(upper) > 0:
        upper *= 2
    return 1 / float(brentq(slope, 0.0, upper, xtol=1e-12))


def mended(probability: Array, temperature: float) -> Array:
    """The probabilities at a temperature: σ(logit(p)/T)."""
    from scipy.special import expit

    return np.asarray(expit(_logit(probability) / temperature))


def _logit(probability: Array) -> Array:
    inside = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _confidence(label: Array, probability: Array) -> tuple[Array, Array]:
    right = np.where(probability == 0.5, 0.5, (probability > 0.5) == (label == 1))
    return np.maximum(probability, 1 - probability), right
