"""Length control of AlpacaEval 2, version 1: the win rate if the model's answers were as long as the baseline's.

A logistic regression predicts each preference from the difference of the lengths, from how hard the instruction is, and
from the model; the controlled win rate is what it predicts without a difference of lengths (Dubois et al. 2024, arXiv
2404.04475). Two gamed baselines, the baseline told to be verbose or concise, keep its coefficients from running away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import UserError
from ..intervals import Array, standard_error
from .scores import Preference, as_numbers

_WEIGHT = 0.2
"""Of the gamed baselines together; a question of the model weighs 1."""
_FOLDS, _SEED = 5, 123
_RESAMPLES = 100


@dataclass(frozen=True)
class Gamed:
    """The gamed baselines: one value for each question of each of them."""

    preferences: Sequence[float]
    """P(the gamed baseline's answer is better)."""
    length_differences: Sequence[float]
    """The baseline's length less the gamed one's, over the standard deviation of these."""
    difficulties: Sequence[float]
    """Of the instruction."""


@dataclass(frozen=True)
class LengthControlled:
    """The controlled win rate in percent; the leaderboard's columns have these names."""

    length_controlled_winrate: float
    lc_standard_error: float | None
    """Of the mean of the predictions, as on the leaderboard, which says nothing of how well the regression is known."""
    lc_low: float
    lc_high: float
    """The ends of the 95 % interval: the regression fitted again to questions that are drawn from all of them."""


BASELINE = LengthControlled(50.0, 0.0, 50.0, 50.0)
"""The baseline's own, by definition."""


def length_controlled(
    preferences: Sequence[Preference],
    baseline_lengths: Sequence[int],
    lengths: Sequence[int],
    difficulties: Sequence[float],
    gamed: Gamed,
) -> LengthControlled:
    """The controlled win rate over questions, of which each has a preference, two lengths in characters, and how hard
    it is.

    Questions without a preference are predicted, too, but teach nothing.

    Raises:
        UserError: no preference is known, or the lengths do not differ.
    """
    said = as_numbers(preferences)
    if not lengths_differ(baseline_lengths, lengths):
        raise UserError("length control: the lengths of all answers differ alike, so that it has nothing to learn from")
    targets = np.where(said == 0.0, 1.5, said) - 1
    targets[(targets < 0.0) | (targets > 1.0)] = np.nan
    if np.isnan(targets).all():
        raise UserError(f"length control: none of {len(said)} preferences is known")
    features = _features(np.subtract(baseline_lengths, lengths), difficulties)
    ours = _Rows(features, targets, np.ones(len(targets)))
    count = len(gamed.preferences)
    theirs = _Rows(
        np.column_stack([np.tanh(gamed.length_differences), gamed.difficulties, np.zeros(count)]),
        np.asarray(gamed.preferences, dtype=np.float64),
        np.full(count, _WEIGHT / 2),
    )
    model = _cross_validated(theirs.and_(ours).known())
    predicted = _without_length(model, features)
    error = standard_error(predicted)
    low, high = np.percentile(_resampled(model.C_[0], theirs, ours), [2.5, 97.5])
    return LengthControlled(
        float(predicted.mean() * 100), None if error is None else error * 100, float(low) * 100, float(high) * 100
    )


@dataclass(frozen=True)
class _Rows:
    """What a regression learns from: features (n, 3), targets (n,) from 0 to 1, weights (n,)."""

    features: Array
    targets: Array
    weights: Array

    def and_(self, others: "_Rows") -> "_Rows":
        mine, theirs = (
            (rows.features, rows.targets, rows.weights) for rows in (self, others)
        )  # the gamed ones go first: folds depend on the order
        return _Rows(*(np.concatenate(both) for both in zip(mine, theirs, strict=True)))

    def known(self) -> "_Rows":
        return self.at(~np.isnan(self.targets))

    def at(self, places: Any) -> "_Rows":
        return _Rows(self.features[places], self.targets[places], self.weights[places])


def lengths_differ(baseline_lengths: Sequence[int], lengths: Sequence[int]) -> bool:
    """Whether there is something to control: the differences of the lengths are not all alike."""
    return len({theirs - ours for theirs, ours in zip(baseline_lengths, lengths, strict=True)}) > 1


def _features(differences: Array, difficulties: Sequence[float]) -> Array:
    """Of the model's questions (n, 3): the difference of the lengths, how hard it is, and that it is the model's."""
    scaled = np.tanh(differences / differences.std(ddof=1))
    return np.column_stack([scaled, difficulties, np.ones(len(differences))])


def _doubled(rows: _Rows) -> tuple[Array, Array, Array, Array]:
    """Each row as a win and as a loss, weighted by its target: features, classes, targets of the class, weights."""
    features = np.concatenate([rows.features, rows.features])
    classes = np.repeat([1, 0], len(rows.targets))
    shares = np.concatenate([rows.targets, 1 - rows.targets])
    return features, classes, shares, np.concatenate([rows.weights, rows.weights])


def _cross_validated(rows: _Rows) -> Any:
    """The regression, its regularisation chosen by cross-validation over questions."""
    import sklearn
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold

    features, classes, shares, weights = _doubled(rows)
    with sklearn.config_context(enable_metadata_routing=True):
        score = make_scorer(_log_loss, response_method="predict_proba", greater_is_better=False)
        model = LogisticRegressionCV(
            cv=GroupKFold(n_splits=_FOLDS),
            scoring=score.set_score_request(shares=True, weights=True),
            random_state=_SEED,
            l1_ratios=(1.0,),
            solver="liblinear",
            fit_intercept=False,
            use_legacy_attributes=True,
        ).set_fit_request(sample_weight=True)
        groups = np.tile(np.arange(len(rows.targets)), 2)
        model.fit(features, classes, sample_weight=shares * weights, groups=groups, shares=shares, weights=weights)
    return model


def _log_loss(classes: Array, predicted: Array, shares: Array, weights: Array) -> float:
    """The log loss of predictions of targets that are probabilities themselves."""
    targets = np.where(classes == 1, shares, 1 - shares)
    predicted = np.clip(predicted, 1e-15, 1 - 1e-15)
    return float(-np.mean((targets * np.log(predicted) + (1 - targets) * np.log(1 - predicted)) * weights))


def _without_length(model: Any, features: Array) -> Array:
    """P(the model's answer is better) of each question, with answers of equal length."""
    predicted: Array = model.predict_proba(features * [0.0, 1.0, 1.0])[:, 1]
    return predicted


def _resampled(regularisation: float, theirs: _Rows, ours: _Rows) -> list[float]:
    """Win rates of regressions that are fitted to questions drawn from all, with the regularisation chosen for all."""
    from sklearn.linear_model import LogisticRegression

    rng, means = np.random.default_rng(_SEED), []
    for _ in range(_RESAMPLES):
        drawn = ours.at(rng.integers(0, len(ours.targets), len(ours.targets)))
        features, classes, shares, weights = _doubled(theirs.and_(drawn).known())
        model = LogisticRegression(
            C=regularisation, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=_SEED
        ).fit(features, classes, sample_weight=shares * weights)
        means.append(float(_without_length(model, drawn.features).mean()))
    return means
