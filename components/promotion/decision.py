"""The decision: promoted or refused, why, and the evidence; for people in a sentence, for programs as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from ..storage.units import Manifest
from .contest import LOOKS
from .guards import Guard
from .looks import Look, Word

_HOLDS = {True: "yes", False: "no"}
Why = Literal[Word, "guarded", "first", "same"]
"""Besides the words of the last look: guarded, a guard stopped a better one; first, there was no champion and
promotion.first is promote; same, the candidate is the champion."""


@dataclass(frozen=True)
class Decision:
    """What a gate has decided."""

    decision: Literal["promoted", "refused"]
    why: Why
    reason: str
    """In a sentence."""
    dry_run: bool
    """Whether the registry was left as it is."""
    model: str
    candidate: Mapping[str, Any]
    """Its run, run root, iteration and digest."""
    opponent: Mapping[str, Any]
    """The champion: its version, place and digest; of the reference, no version; empty if there was neither."""
    threshold: float
    confidence: float
    figures: Mapping[str, float]
    """Those of the contest; win_rate_low and win_rate_high hold at all looks at once."""
    looks: Sequence[Mapping[str, float]]
    guards: Sequence[Mapping[str, Any]]
    version: int | None = None
    """The candidate's, if it was registered."""

    @property
    def promoted(self) -> bool:
        """Whether the candidate is better, and no guard stops it."""
        return self.decision == "promoted"

    @property
    def line(self) -> str:
        """The decision for people."""
        word = f"would be {self.decision} (dry run)" if self.dry_run else self.decision
        numbered = f" as version {self.version}" if self.version and self.promoted else ""
        return f"iteration {self.candidate['iteration']} of {self.candidate['run']} {word}{numbered}: {self.reason}"

    @property
    def description(self) -> str:
        """The decision in Markdown, for the version's page in MLflow."""
        rows = [
            f"| {guard['name']} | {guard['candidate']:.4g} | {guard['champion']:.4g} | {_HOLDS[guard['holds']]} |"
            for guard in self.guards
        ]
        table = ["| guard | candidate | champion | holds |", "| --- | --- | --- | --- |", *rows] if rows else []
        report = f"The report is {self.candidate['run_root']}/report/promotion.html."
        return "\n".join([f"**{self.decision.capitalize()}**: {self.reason}", "", *table, "", report])

    def to_json(self) -> dict[str, Any]:
        """The decision as a JSON value."""
        return {**asdict(self), "line": self.line}


class Ruling(NamedTuple):
    """What contest and guards have come to; see `Decision`."""

    decision: Literal["promoted", "refused"]
    why: Why
    reason: str


def ruling(last: Look, guards: Sequence[Guard], opponent: str, threshold: float) -> Ruling:
    """The decision by the contest's last look and the guards; `opponent` is whom the candidate met, for people."""
    word, shown = last.word, f"win rate {last.win_rate:.3f} [{last.low:.3f}, {last.high:.3f}]"
    shown += f" against {opponent} on {last.prompts} prompts"
    broken = [_broken(guard) for guard in guards if not guard.holds]
    if word == "better" and not broken:
        return Ruling("promoted", "better", f"{shown}, above {threshold:g}")
    if word == "better":
        return Ruling("refused", "guarded", f"{shown}, but {'; '.join(broken)}")
    assert word != "open", "the last look decides"
    meant = {
        "worse": f"not above {threshold:g}",
        "futile": f"which the rest of the budget cannot bring above {threshold:g}",
        "undecided": f"and the budget of prompts ended before the interval was above {threshold:g}",
    }
    return Ruling("refused", word, f"{shown}, {meant[word]}")


def looks_of(contest: Manifest) -> list[dict[str, float]]:
    """The contest's looks, in their order."""
    return [dict(zip(LOOKS, each, strict=True)) for each in zip(*(contest.curves[name] for name in LOOKS), strict=True)]


def _broken(guard: Guard) -> str:
    by = f"{guard.worse_by:.1%}" if guard.relative else f"{guard.worse_by:.3f}"
    margin = f"{guard.margin:.0%}" if guard.relative else f"{guard.margin:g}"
    return (
        f"{guard.name} is {guard.candidate:.3f} and the champion's {guard.champion:.3f}, worse by {by}, above "
        f"promotion.guards' {margin}"
    )
