"""What a report says of one benchmark's results on a policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...benchmarks.base import Figure
from ...benchmarks.canary import NULL, Canary
from ...benchmarks.correlation import Correlation
from ...benchmarks.published import Published
from ...benchmarks.shares import Interval
from ...quality.kept import Kept
from ...storage.records import CategoryFigure
from ..plain import plain
from .cases import Case
from .conduct import Conduct, conduct_of
from .examples import Example, examples_of
from .lengths import LengthStatistics, lengths_of


@dataclass(frozen=True)
class BenchmarkReport:
    """A benchmark's results on a policy."""

    name: str
    judge: str
    """Who judges; empty where no judge does."""
    oracle: str
    """The oracle by which the policy was trained; empty where it is not known."""
    figures: Sequence[Figure]
    values: Mapping[str, float | None]
    gains: Mapping[str, Interval] = field(default_factory=dict)
    """By how much figures are greater than the reference's, with intervals that are paired by question."""
    published: Mapping[str, Published] = field(default_factory=dict)
    """What a paper reports, by the names of the figures that it is to be seen beside."""
    categories: Sequence[CategoryFigure] = ()
    cases: Sequence[Case] = ()
    """Empty where the benchmark keeps no questions."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """What the judge has used."""
    quality: Kept | None = None
    """The judge's own quality, where it has been measured."""
    correlation: Correlation | None = None
    """Of the judge and the training oracle, on the same answers."""
    canary: Canary | None = None

    @cached_property
    def lengths(self) -> LengthStatistics | None:
        """The lengths of the answers."""
        return lengths_of(self.cases) if self.cases else None

    @cached_property
    def conduct(self) -> Conduct | None:
        """The judge's conduct; None where no judge judges."""
        return conduct_of(self.cases) if self.cases and self.judge else None

    @cached_property
    def examples(self) -> list[Example]:
        """Cases to read."""
        return examples_of(self.cases)

    @property
    def warnings(self) -> list[str]:
        """What a reader of the scores has to know first, a sentence each."""
        found = []
        if self.canary and self.canary.won:
            found.append(
                f"Do not trust these scores: the judge prefers the constant answer {NULL!r} in "
                f"{self.canary.win_rate:.0%} of {self.canary.questions} questions."
            )
        if conduct := self.conduct:
            found += conduct.leanings
            if missing := sum(conduct.missing.values()):
                found.append(
                    f"{missing} of {missing + conduct.verdicts} judgments are no verdicts; no score counts them."
                )
        if self.lengths and self.lengths.cut:
            found.append(f"{self.lengths.cut} of {len(self.cases)} answers were cut at the most new tokens.")
        return found

    def to_json(self, *, examples: bool = True) -> dict[str, Any]:
        """The report as a JSON value, with the examples, if they are wanted, as the only texts."""
        return {
            "benchmark": self.name,
            "judge": self.judge or None,
            "oracle": self.oracle or None,
            "warnings": self.warnings,
            "figures": plain(self.values),
            "gains": plain(self.gains),
            "published": plain(self.published),
            "categories": plain(self.categories),
            "lengths": plain(self.lengths),
            "conduct": plain(self.conduct),
            "usage": plain(self.usage),
            "judge_quality": plain(self.quality),
            "correlation": plain(self.correlation),
            "canary": plain(self.canary) | {"won": self.canary.won} if self.canary else None,
            **({"examples": plain(self.examples)} if examples else {}),
        }
