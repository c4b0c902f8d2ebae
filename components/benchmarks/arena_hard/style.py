"""Style control of Arena-Hard v2: the win rate if both answers were equally long and marked up.

A logistic regression predicts each game from the model, and from how the two answers differ in length, headers, lists
and bold text; the controlled win rate is what it predicts where they do not differ.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from ..intervals import Array
from .scores import ROUNDS, SEED, Game, both_judged

_CODE = re.compile(r"```([^`]*)```")
_MARKUP = tuple(
    tuple(re.compile(pattern, re.MULTILINE) for pattern in patterns)
    for patterns in (
        [r"^#{1,6}\s"],
        [r"^\s*\d+\.\s", r"^\s*[-*+]\s"],
        [r"\*\*[^*\n]+\*\*", r"__[^_\n]+__"],
    )
)
"""Headers, items of lists, bold text."""
_STEPS = 50
"""Of a fit at most, as the benchmark takes: where one side wins all, the coefficients grow without end."""


class Style(NamedTuple):
    """How an answer is written."""

    length: int
    """In tokens or characters, the same for all answers."""
    headers: int
    lists: int
    """Their items."""
    bold: int

    @classmethod
    def of(cls, answer: str) -> Self:
        """The style of an answer, its length in characters; what is in code blocks is no markup."""
        text = answer
        for block in _CODE.findall(answer):
            text = text.replace(block, "")
        counts = (sum(len(pattern.findall(text)) for pattern in patterns) for patterns in _MARKUP)
        return cls(len(answer), *counts)


@dataclass(frozen=True)
class StyleControlled:
    """The controlled score in percent."""

    style_controlled: float
    """The median of bootstraps."""
    style_low: float
    style_high: float
    """Their percentiles 5 and 95."""
    length_effect: float
    header_effect: float
    list_effect: float
    bold_effect: float
    """How far a standard deviation more of it than the baseline moves the log-odds of a win; medians of bootstraps."""


def style_controlled(games: Sequence[Game], styles: Sequence[tuple[Style, Style]]) -> StyleControlled:
    """The controlled score of games, each with the style of the model's answer and of the baseline's.

    Raises:
        UserError: no game counts.
    """
    weights = [game.weight for game in both_judged(games)]
    results = np.repeat([game.result for game in games], weights)
    ours, theirs = (np.repeat(np.array(side, dtype=np.float64), weights, axis=0) for side in zip(*styles, strict=True))
    features = np.column_stack([np.ones(len(results)), _scaled(_differences(ours, theirs))])
    places = np.random.RandomState(SEED).randint(0, len(results), (ROUNDS, len(results)))
    fitted = np.array([_fitted(features[drawn], results[drawn]) for drawn in places])
    rates = 100 / (1 + np.exp(-fitted[:, 0]))
    low, middle, high = np.quantile(rates, [0.05, 0.5, 0.95])
    return StyleControlled(float(middle), float(low), float(high), *map(float, np.median(fitted[:, 1:], axis=0)))


def _differences(ours: Array, theirs: Array) -> Array:
    """How the model's answers differ from the baseline's (n, 4), from -1 to 1: in length, and in markup by length."""
    both = ours[:, :1] + theirs[:, :1]
    lengths = np.divide(ours[:, :1] - theirs[:, :1], both, out=np.zeros_like(both), where=both > 0)
    mine, other = (side[:, 1:] / np.maximum(side[:, :1], 1) for side in (ours, theirs))
    return np.hstack([lengths, (mine - other) / (mine + other + 1)])


def _scaled(features: Array) -> Array:
    """In standard deviations from the mean; what does not differ is 0."""
    spread = features.std(axis=0, ddof=1)
    return np.asarray((features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _fitted(features: Array, results: Array) -> Array:
    """The coefficients (5,) of a logistic regression of results, of which a half is half a win and half a loss."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    shares = np.concatenate([results, 1 - results])
    doubled, classes = np.concatenate([features, features]), np.repeat([1, 0], len(results))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=_STEPS)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(doubled, classes, sample_weight=shares)
    return np.asarray(model.coef_[0])
