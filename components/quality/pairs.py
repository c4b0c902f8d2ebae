"""Labelled pairs and a judge's verdicts on them, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..oracles.base import Query, Verdict
from ..prompts.compared import Compared

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of answers, arrays of shape (n,); 1 says that the first is ahead, 0 the second, 1/2 neither."""

    queries: Sequence[Query]
    prompt: Indices
    """Number of the prompt."""
    entry: Indices
    """Number of the entry, the answers of which were compared with each other."""
    first: Indices
    second: Indices
    """Place of the two answers in the entry."""
    label: Array
    """Which is better; NaN where nobody compared them."""
    longer: Array
    """Which has more characters."""
    top: Flags
    """Whether it is one of the best answers of an entry with three or more, and a worse one."""
    models: Sequence[tuple[str, str]]
    """Which models gave them; empty texts where that is not said."""
    category: Sequence[str]
    name: Sequence[str]
    """The entry's id, where it has one."""

    @classmethod
    def of(cls, compared: Sequence[Compared]) -> Self:
        """All pairs of the entries."""
        places = [(number, *pair) for number, each in enumerate(compared) for pair in each.pairs()]
        answers = [(compared[entry].answers[i], compared[entry].answers[j]) for entry, i, j, _ in places]
        entries, firsts, seconds, labels = zip(*places, strict=True)
        best = [max(answer.score for answer in each.answers if answer.score is not None) for each in compared]
        return cls(
            [
                Query(compared[entry].messages, first.text, second.text)
                for entry, (first, second) in zip(entries, answers, strict=True)
            ],
            np.array([compared[entry].prompt for entry in entries]),
            np.array(entries),
            np.array(firsts),
            np.array(seconds),
            np.array([np.nan if label is None else label for label in labels]),
            ahead(np.array([float(len(first.text) - len(second.text)) for first, second in answers])),
            np.array(
                [
                    len(compared[entry].answers) > 2 and label in (0, 1) and best[entry] in (first.score, second.score)
                    for (entry, _, _, label), (first, second) in zip(places, answers, strict=True)
                ]
            ),
            [(first.model, second.model) for first, second in answers],
            [compared[entry].category for entry in entries],
            [compared[entry].name for entry in entries],
        )

    @property
    def decided(self) -> Flags:
        """Where one is better than the other."""
        return np.isin(self.label, (0, 1))

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True)
class Verdicts:
    """A judge's verdicts on pairs, arrays of shape (n,); probabilities are of the first answer being better."""

    forward: Array
    """In one order of the two."""
    backward: Array
    """In the other."""
    probability: Array
    """Mean of both."""
    abstained: Flags
    truncated: Flags

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Self:
        """The verdicts in their order."""
        return cls(
            *(
                np.array([getattr(verdict, name) for verdict in verdicts])
                for name in ("forward", "backward", "probability", "abstained", "truncated")
            )
        )

    @property
    def decision(self) -> Array:
        """Which answer each verdict is for: 1 the first, 0 the second, 1/2 neither."""
        return ahead(self.probability - 0.5)


def ahead(margin: Array) -> Array:
    """1 where a margin is for the first, 0 where it is for the second, 1/2 where it is 0; NaN stays."""
    return np.asarray((np.sign(margin) + 1) / 2)
