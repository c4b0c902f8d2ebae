"""How sequences are put into forward passes: those that share a long beginning are read from its end on."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from .base import Ids

_WORTH = 256
"""Tokens that a shared beginning has to save before its sequences are read by themselves: short ones are read faster
in one batch with those of other prompts."""


@dataclass(frozen=True)
class Piece:
    """Sequences that are read together, by index, the longest first."""

    indices: Sequence[int]
    shared: int = 0
    """Tokens that all of them begin with, which are read once; 0: each is read whole."""

    def __len__(self) -> int:
        return len(self.indices)

    def tokens(self, sequences: Sequence[Ids]) -> int:
        """How many tokens are read."""
        return self.shared + sum(len(sequences[index]) - self.shared for index in self.indices)


def pieces(sequences: Sequence[Ids], prompts: Sequence[Hashable], size: int) -> list[Piece]:
    """The sequences in pieces: one for the sequences of a prompt where that is worth it, else `size` sequences at most.

    The longest sequences come first: there is little padding, and a `size` that is too large fails at once.
    """
    families: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index in sorted(range(len(sequences)), key=lambda index: -len(sequences[index])):
        families[prompts[index]].append(index)
    made, alone = [], list[int]()
    for family in families.values():
        shared = _shared([sequences[index] for index in family])
        if shared * (len(family) - 1) >= _WORTH:
            made.append(Piece(family, shared))
        else:
            alone += family
    alone.sort(key=lambda index: -len(sequences[index]))
    made += [Piece(alone[start : start + size]) for start in range(0, len(alone), size)]
    return sorted(made, key=lambda piece: -len(sequences[piece.indices[0]]))


def _shared(sequences: Sequence[Ids]) -> int:
    """How many tokens all begin with; each keeps one to be read after them."""
    columns = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*sequences, strict=False))
    return min(sum(1 for _ in columns), min(map(len, sequences)) - 1)
