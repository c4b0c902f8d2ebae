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
    where the oracle was not asked (`oracle` in `made`), or too little is known."""
    if not (manifest := made.get("oracle")):
        return None
    oracle = with_judgments(judged, manifest.rows(store, JUDGMENTS))
    pairs = [(_preference(mine), _preference(its)) for mine, its in zip(judged, oracle, strict=True)]
    both = [(mine, its) for mine, its in pairs if mine is not None and its is not None]
    return correlation([mine for mine, _ in both], [its for _, its in both])


def _preference(answered: Answered) -> float | None:
    """The mean probability that the policy's answer is better."""
    known = [row["probability"] for row in answered.judgments if row["outcome"] == "verdict"]
    return sum(known) / len(known) if known else None
