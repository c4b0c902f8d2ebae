"""A comparison as people see it: two answers, A and B, in an order that tells nothing about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ...core.digests import digest_json
from ...core.seeds import derive_uniform
from ...storage.records import Message
from ..base import Query

_DIGITS = 24


@dataclass(frozen=True)
class Shown:
    """Two answers to a dialogue, side by side, and the question about them."""

    instructions: str
    messages: Sequence[Message]
    a: str
    b: str

    @classmethod
    def of(cls, query: Query, instructions: str, seed: int) -> "Shown":
        """How a question is shown; in which order is a function of the seed and of everything that is shown."""
        low_first, high_first = cls.both(query, instructions)
        return low_first if derive_uniform(seed, "shown", low_first.id) < 0.5 else high_first

    @classmethod
    def both(cls, query: Query, instructions: str) -> tuple["Shown", "Shown"]:
        """The two ways to show a question: with the text first that is asked first, and the other way round."""
        low, high = query.pair
        return cls(instructions, query.messages, low, high), cls(instructions, query.messages, high, low)

    @cached_property
    def id(self) -> str:
        """Names the comparison by its content, the order included: a verdict on it says a or b without doubt."""
        return digest_json([self.instructions, list(self.messages), self.a, self.b])[:_DIGITS]
