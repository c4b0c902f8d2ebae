"""The guards: figures of a policy's answers that must not be worse than the champion's by more than a margin."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..storage.records import Rollout

_REFUSALS = re.compile(
    r"(i'?m|i am) (so |very |really )?sorry,? (but|i (can|am))|sorry,? (but )?(i|as) |(my )?apologies,? but"
    r"|i (apologi[sz]e,? but|cannot|can'?t(?! wait)|can not|won'?t|will not|must decline)|(i'?m|i am) (unable|not able)"
    r"|as an? (ai|artificial intelligence|(large )?language model)|unfortunately,? i (cannot|can'?t|am unable)"
)
_OPENING = 80
"""Characters of an answer in which a refusal begins."""

Player = Literal["candidate", "champion"]


def refuses(text: str) -> bool:
    """Whether an English answer begins as refusals do (the prefixes of Zou et al. 2023, arXiv 2307.15043, and others).

    Some that refuse begin otherwise, and some that begin so go on to help: the share is for comparing two policies.
    """
    opening = text.lstrip(" \n\t\"'*#").replace("’", "'").lower()
    return bool(_REFUSALS.match(opening[:_OPENING]))


def figures_of(rows: Sequence[Rollout]) -> dict[str, float]:
    """Of a policy's answers: mean length in characters, and the shares that refuse and that were cut.

    Text is counted, not tokens: the two policies may have different tokenizers.
    """
    return {
        "length": sum(len(row["text"]) for row in rows) / len(rows),
        "refusals": sum(refuses(row["text"]) for row in rows) / len(rows),
        "cut": sum(row["finish"] == "length" for row in rows) / len(rows),
    }


@dataclass(frozen=True)
class Guard:
    """A figure of both policies."""

    name: str
    candidate: float
    champion: float
    margin: float | None
    """None: it stops nothing."""
    relative: bool = False
    """Whether the margin is a share of the champion's figure."""
    higher_is_better: bool = False

    @property
    def worse_by(self) -> float:
        """How much worse the candidate's figure is; negative where it is better."""
        change = self.champion - self.candidate if self.higher_is_better else self.candidate - self.champion
        if not self.relative:
            return change
        return change / self.champion if self.champion else float(change > 0)

    @property
    def holds(self) -> bool:
        """Whether the candidate is worse by the margin at most."""
        return self.margin is None or not self.worse_by > self.margin

    def described(self) -> dict[str, Any]:
        """For a decision's JSON."""
        return {**asdict(self), "worse_by": self.worse_by, "holds": self.holds}


def guards_of(metrics: Mapping[str, float], margins: Mapping[str, float | None]) -> list[Guard]:
    """The guards among the contest's metrics, which are named `candidate_length`, `champion_length` and so on."""
    return [
        Guard(name, metrics[f"candidate_{name}"], metrics[f"champion_{name}"], margin, relative=name == "length")
        for name, margin in margins.items()
        if f"candidate_{name}" in metrics
    ]
