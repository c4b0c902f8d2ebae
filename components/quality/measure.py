"""The figures of a judge, from its verdicts on labelled pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..benchmarks.base import Figure
from ..benchmarks.correlation import spearman
from . import agreement, bias, calibration
from .agreement import Share
from .asking import Asked
from .calibration import Bin
from .pairs import Array, Flags, LabelledPairs
from .ties import ties_score

Figures = Mapping[str, float | None]

FIGURES = (
    Figure(
        "accuracy",
        "accuracy",
        interval=("accuracy_low", "accuracy_high"),
        better="higher",
        meaning="share of the labels that it decides for; 1/2 where it decides for neither or abstains",
    ),
    Figure(
        "accuracy_longer",
        "longer wins",
        interval=("accuracy_longer_low", "accuracy_longer_high"),
        meaning="accuracy of a judge that knows the lengths alone",
    ),
    Figure(
        "accuracy_best",
        "best of all",
        interval=("accuracy_best_low", "accuracy_best_high"),
        better="higher",
        meaning="share of the entries with three answers or more whose best ones win against all others",
    ),
    Figure(
        "ties_score",
        "Ties",
        better="higher",
        meaning="RewardBench 2's score of its category Ties, which weighs accuracy and margins",
    ),
    Figure("kappa", "kappa", better="higher", meaning="Cohen's, between the judge and the labels, ties included"),
    Figure(
        "rank_correlation",
        "rank correlation",
        better="higher",
        meaning="Spearman's, of the models' Bradley-Terry ratings by the judge and by the labels",
    ),
    Figure("for_longer", "for the longer", meaning="share of its decisions for the longer answer"),
    Figure("flips", "flips", better="lower", meaning="share of pairs that it decides otherwise in the other order"),
    Figure("shown_first", "for the first", meaning="share of its sights that are for the answer shown first"),
    Figure(
        "self_consistency",
        "same again",
        better="higher",
        meaning="share of pairs that it decides alike when it is asked again with other random numbers",
    ),
    Figure("cyclic", "circles", better="lower", meaning="share of triples of answers that it decides in a circle"),
    Figure("calibration_error", "ECE", better="lower", meaning="mean distance of its confidence from its accuracy"),
    Figure("brier", "Brier", better="lower", meaning="mean squared distance of its probabilities from the labels"),
    Figure("temperature", "temperature", meaning="that mends its probabilities; above 1 it is too sure"),
    Figure("calibration_error_mended", "ECE mended", better="lower", meaning="at that temperature, on the same pairs"),
    Figure("abstentions", "abstentions", better="lower", meaning="share of pairs that it could not judge"),
    Figure("truncated", "cut", better="lower", meaning="share of pairs of which it saw only a part"),
    Figure("pairs", "pairs", digits=0),
    Figure("prompts", "prompts", digits=0),
    Figure("seconds", "seconds", digits=1, meaning="that it took, without opening it"),
)
"""The figures of a judge. docs/judge-quality.md defines each."""


@dataclass(frozen=True)
class Category:
    """The accuracies on a part of the pairs."""

    name: str
    accuracy: Share
    accuracy_best: Share | None
    """None where no entry has three answers."""
    pairs: int
    """Those with a better answer."""


@dataclass(frozen=True)
class Rating:
    """A model's Bradley–Terry ratings, in nats."""

    model: str
    labels: float
    judge: float


@dataclass(frozen=True)
class Quality:
    """All that was measured of a judge."""

    figures: Figures
    """By the names of `FIGURES`, with the ends of intervals; None where one does not apply."""
    curve: Sequence[Bin]
    categories: Sequence[Category]
    ratings: Sequence[Rating]
    """Empty where the data name no models that were compared with each other."""
    usage: Mapping[str, float]


def measure(pairs: LabelledPairs, asked: Asked) -> Quality:
    """All figures of a judge."""
    verdicts, judged = asked.verdicts, ~asked.verdicts.abstained
    decided, labelled = pairs.decided, ~np.isnan(pairs.label)
    rated = _ratings(pairs, verdicts.decision, judged & labelled)
    ratings_of = {side: [getattr(each, side) for each in rated] for side in ("labels", "judge")}
    circles, triples = bias.cyclic(
        pairs.entry[judged], pairs.first[judged], pairs.second[judged], verdicts.decision[judged]
    )
    again = asked.again
    both = judged if again is None else judged & ~again.abstained
    figures = {
        **_accuracies(pairs, verdicts.decision),
        "ties_score": ties_score(pairs, verdicts.probability),
        "kappa": agreement.kappa(pairs.label[judged & labelled], verdicts.decision[judged & labelled]),
        "rank_correlation": spearman(ratings_of["labels"], ratings_of["judge"]),
        "for_longer": bias.for_longer(pairs.longer[judged], verdicts.decision[judged]),
        "flips": bias.flips(verdicts.forward[judged], verdicts.backward[judged]),
        "shown_first": bias.shown_first(verdicts.forward[judged], verdicts.backward[judged]),
        "self_consistency": 1.0 if again is None else _alike(verdicts.decision[both], again.decision[both]),
        "cyclic": circles / triples if triples else None,
        **_calibration(pairs.label[decided & judged], verdicts.probability[decided & judged]),
        "abstentions": float(verdicts.abstained.mean()),
        "truncated": float(verdicts.truncated.mean()),
        "pairs": float(len(pairs)),
        "prompts": float(len(np.unique(pairs.prompt))),
        "seconds": asked.seconds,
    }
    curve = calibration.reliability(pairs.label[decided & judged], verdicts.probability[decided & judged])
    return Quality(figures, curve, _categories(pairs, verdicts.decision), rated, asked.usage)


def _accuracies(pairs: LabelledPairs, decision: Array) -> dict[str, float | None]:
    """Accuracy, that of length alone, and that of the best of several answers, with their intervals."""
    everywhere = np.ones(len(pairs), dtype=bool)
    shares = {
        "accuracy": _accuracy(pairs, decision, everywhere),
        "accuracy_longer": _accuracy(pairs, pairs.longer, everywhere),
        "accuracy_best": _accuracy_of_best(pairs, decision, everywhere),
    }
    return {
        f"{name}{end}": None if found is None else value
        for name, found in shares.items()
        for end, value in zip(("", "_low", "_high"), found or (None,) * 3, strict=True)
    }


def _accuracy(pairs: LabelledPairs, decision: Array, inside: Flags) -> Share | None:
    """The accuracy on some of the pairs."""
    decided = inside & pairs.decided
    return agreement.share(agreement.hits(pairs.label, decision)[decided], pairs.prompt[decided])


def _accuracy_of_best(pairs: LabelledPairs, decision: Array, inside: Flags) -> Share | None:
    """The share of some of the entries with three answers or more whose best ones win against all others."""
    top = inside & pairs.top
    won = agreement.by_group(agreement.hits(pairs.label, decision)[top] == 1, pairs.entry[top]) == 1
    return agreement.share(won, agreement.by_group(pairs.prompt[top], pairs.entry[top]))


def _calibration(label: Array, probability: Array) -> dict[str, float | None]:
    heat = calibration.temperature(label, probability)
    mended = None if heat is None else calibration.calibration_error(label, calibration.mended(probability, heat))
    return {
        "calibration_error": calibration.calibration_error(label, probability),
        "brier": calibration.brier(label, probability),
        "temperature": heat,
        "calibration_error_mended": mended,
    }


def _alike(first: Array, second: Array) -> float | None:
    return float((first == second).mean()) if len(first) else None


def _categories(pairs: LabelledPairs, decision: Array) -> list[Category]:
    """The accuracies in each category, where there are several."""
    names, found = np.array(pairs.category), []
    for name in sorted({*pairs.category}):
        inside = names == name
        if accuracy := _accuracy(pairs, decision, inside):
            best = _accuracy_of_best(pairs, decision, inside)
            found.append(Category(name, accuracy, best, int((inside & pairs.decided).sum())))
    return found if len(found) > 1 else []


def _ratings(pairs: LabelledPairs, decision: Array, chosen: Flags) -> list[Rating]:
    """The models' ratings by the labels and by the judge, on the chosen pairs of different models, best first."""
    apart = [
        place for place in np.flatnonzero(chosen) if "" not in (names := pairs.models[place]) and len({*names}) > 1
    ]
    players = [pairs.models[place] for place in apart]
    labels, judge = (agreement.ratings(players, values[apart]) for values in (pairs.label, decision))
    if labels is None or judge is None:
        return []
    return [Rating(name, labels[name], judge[name]) for name in sorted(labels, key=lambda name: -labels[name])]
