"""By what a judge can be trusted or not: how a constant answer does, and whether the training oracle agrees with it."""

from collections.abc import Mapping, Sequence

from ..storage.records import JUDGMENTS
from ..storage.store import Store
from ..storage.units import Manifest
from .canary import Canary, canary_answers, canary_of
from .correlation import Correlation, correlation
from .questions import Answered, with_judgments


def read_canary(store: Store, judged: Sequence[Answered], made: Mapping[str, Manifest]) -> Canary | None:
    """How the constant answer does; None where it was not judged.

    `made`: the manifests of a benchmark's stages, `canary` among them if it has that; `judged`: the policy's answers.
    """
    if not (manifest := made.get("canary")):
        return None
    asked = canary_answers([each.question for each in judged])
    return canary_of(with_judgments(asked, manifest.rows(store, JUDGMENTS)), judged)


def read_correlation(store: Store, judged: Sequence[Answered], made: Mapping[str, Manifest]) -> Correlation | None:
    """How the judge's preferences and the training oracle's go together, on the answers that both have judged; None
    where the oracle was not asked (`oracle` in `made`), or too little is known.

    A judge that grades prefers an answer by as much as its grade is above that of the reference's (`reference`).
    """
    if not (manifest := made.get("oracle")):
        return None
    oracle = with_judgments(judged, manifest.rows(store, JUDGMENTS))
    if graded := made.get("reference"):
        others = with_judgments(judged, graded.rows(store, JUDGMENTS))
        preferences = [_gain(mine, other) for mine, other in zip(judged, others, strict=True)]
    else:
        preferences = [_preference(each) for each in judged]
    pairs = zip(preferences, map(_preference, oracle), strict=True)
    both = [(mine, its) for mine, its in pairs if mine is not None and its is not None]
    return correlation([mine for mine, _ in both], [its for _, its in both])


def _preference(answered: Answered) -> float | None:
    """The mean probability that the policy's answer is better."""
    known = [row["probability"] for row in answered.judgments if row["outcome"] == "verdict"]
    return sum(known) / len(known) if known else None


def _gain(answered: Answered, other: Answered) -> float | None:
    """By how much its grade for the first turn is above another's."""
    mine, its = (
        [row["grade"] for row in each.judgments if row["outcome"] == "verdict" and not row["turn"]]
        for each in (answered, other)
    )
    return mine[0] - its[0] if mine and its else None
