"""How far annotators agree."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Agreement(NamedTuple):
    """Of the comparisons that several annotators have voted on."""

    comparisons: int
    agreement: float
    """The share of the pairs of votes on one comparison that say the same."""
    alpha: float | None
    """Krippendorff's α for a, b and tie: 1 is agreement, 0 chance; None where all votes are the same."""

    def __str__(self) -> str:
        alpha = "" if self.alpha is None else f", Krippendorff's α {self.alpha:.2f}"
        return f"{self.comparisons} comparisons have votes of several annotators: agreement {self.agreement:.2f}{alpha}"


def agreement(votes: Iterable[Mapping[str, str]]) -> Agreement | None:
    """Of the votes on each comparison, by annotator; a skip is no vote. None where no comparison has two."""
    counts = [Counter(word for word in by.values() if word != "skip") for by in votes]
    several = [count for count in counts if count.total() > 1]
    if not several:
        return None
    same, pairs = sum(map(_same, several)), sum(map(_pairs, several))
    marginal = sum(several, Counter[str]())
    # In α every vote weighs the same, however many there are on its comparison.
    observed = 1 - sum(count.total() * _same(count) / _pairs(count) for count in several) / marginal.total()
    expected = 1 - _same(marginal) / _pairs(marginal)
    return Agreement(len(several), same / pairs, 1 - observed / expected if expected else None)


def _same(votes: Counter[str]) -> int:
    """The ordered pairs of votes that say the same."""
    return sum(count * (count - 1) for count in votes.values())


def _pairs(votes: Counter[str]) -> int:
    return votes.total() * (votes.total() - 1)
