"""Whether the prompts of a run are such as those of an earlier one: their lengths, and what they are made of.

What they are made of is told by their bytes, in any language and under any tokenizer: the distribution of sequences of
three bytes of their UTF-8, in 4,096 classes by a checksum. Two sets of prompts differ by the Jensen-Shannon divergence

    JSD(p, q) = H((p + q)/2) − (H(p) + H(q))/2,   in bits, from 0 to 1,

of the two distributions, each the mean over prompts, so that long ones do not outweigh others. Two samples of one
source differ, too: the test shuffles the prompts between the two sets, and the share of shuffles with as large a
divergence is the p-value (Lehmann and Romano 2005, section 15.2: with the sets as they are, (1 + k)/(1 + n)).
"""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nashflow.components.benchmarks.intervals import standard_error
from nashflow.components.core.seeds import derive_seed
from nashflow.components.storage.records import Message

Array = NDArray[np.float64]
_CLASSES, _SEQUENCE = 4096, 3
_SHUFFLES = 199
_MOST = 512
"""Prompts of a set that are looked at, taken at random."""
_SURE = 1.96


@dataclass(frozen=True)
class Difference:
    """How the prompts of a run differ from those of the first one."""

    prompts: int
    """Distinct ones."""
    characters: float
    """Mean length."""
    longer_by: float
    """The mean length, less that of the first run's prompts; in characters."""
    longer_low: float
    longer_high: float
    """The ends of its 95 % interval."""
    divergence: float
    """In bits."""
    expected: float
    """The mean divergence of shuffled sets: what two samples of one source have."""
    p_value: float

    @property
    def excess(self) -> float:
        """The divergence, less what two samples of one source have; 0 where it is not above that."""
        return max(0.0, self.divergence - self.expected)

    @property
    def shifted(self) -> bool:
        """Whether the prompts are other ones: of sets of one source, 1 in 100 is taken for another."""
        return self.p_value <= 0.01


def text_of(messages: Sequence[Message]) -> str:
    """What a prompt says."""
    return "\n".join(message["content"] for message in messages)


def difference(first: Sequence[str], other: Sequence[str]) -> Difference:
    """How the texts `other` differ from the texts `first`; both are sets of distinct prompts.

    Raises:
        ValueError: one of them is empty.
    """
    one, two = _some(first), _some(other)
    lengths = [np.array([len(text) for text in texts], dtype=np.float64) for texts in (first, other)]
    longer = float(lengths[1].mean() - lengths[0].mean())
    error = math.hypot(*(standard_error(each) or 0.0 for each in lengths))
    made = np.stack([_made_of(text) for text in (*one, *two)])
    measured = divergence(made[: len(one)].mean(axis=0), made[len(one) :].mean(axis=0))
    shuffled = _shuffled(made, len(one))
    return Difference(
        len(other),
        float(lengths[1].mean()),
        longer,
        longer - _SURE * error,
        longer + _SURE * error,
        measured,
        float(shuffled.mean()),
        float((1 + np.sum(shuffled >= measured - 1e-12)) / (1 + len(shuffled))),
    )


def divergence(one: Array, other: Array) -> float:
    """JSD of two distributions, shape (n,), in bits."""
    return float(_entropy((one + other) / 2) - (_entropy(one) + _entropy(other)) / 2)


def _entropy(shares: Array) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def _shuffled(made: Array, count: int) -> Array:
    """The divergences of sets of the same sizes, into which the prompts are dealt at random."""
    random = np.random.default_rng(derive_seed("drift", len(made), count))
    total, found = made.sum(axis=0), np.empty(_SHUFFLES)
    for shuffle in range(_SHUFFLES):
        one = made[random.permutation(len(made))[:count]].sum(axis=0)
        found[shuffle] = divergence(one / count, (total - one) / (len(made) - count))
    return found


def _some(texts: Sequence[str]) -> list[str]:
    """At most so many of them as are looked at, whatever their order."""
    ordered = sorted(set(texts))
    if not ordered:
        raise ValueError("no prompts to compare")
    chosen = np.random.default_rng(derive_seed("drift", json.dumps(ordered[0]))).permutation(len(ordered))[:_MOST]
    return [ordered[int(at)] for at in chosen]


def _made_of(text: str) -> Array:
    """The shares of a text's sequences of bytes, shape (classes,); a short text is one sequence."""
    data = text.encode("utf-8", "replace")
    sequences = [data[at : at + _SEQUENCE] for at in range(max(1, len(data) - _SEQUENCE + 1))]
    counts = np.bincount([zlib.crc32(each) % _CLASSES for each in sequences], minlength=_CLASSES)
    return counts / len(sequences)
