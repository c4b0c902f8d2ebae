"""How often each prompt is used."""

from collections.abc import Sequence
from typing import NamedTuple


class Uses(NamedTuple):
    """Prompts that are dealt to iterations, and how often."""

    fresh: int
    """Different prompts that iterations may take."""
    dealt: int
    """Prompts of all iterations."""
    fewest: int
    most: int
    """Times that one of them is used."""

    def __str__(self) -> str:
        if self.most <= 1:
            return f"{self.dealt:,} of {self.fresh:,} prompts are used, each once"
        times = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"each of {self.fresh:,} prompts is used {times} times: the iterations take {self.dealt:,}"


def uses_of(sets: Sequence[tuple[int, int]]) -> Uses:
    """The uses of sets by their number of prompts, and how many of them are dealt in all."""
    fresh, dealt = (sum(numbers) for numbers in zip(*sets, strict=True))
    return Uses(fresh, dealt, min(many // few for few, many in sets), max(-(-many // few) for few, many in sets))
