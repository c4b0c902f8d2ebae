"""Shared by the oracles that are language models: context lengths, batches."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..models.positions import longest_input
from ..runtime.progress import over

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


REMEDY = "set oracle.dtype to float32, or oracle.model to another folder"
"""What to do with an oracle whose outputs are not finite."""


def context_length(config: "PreTrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The most tokens that a model reads at once, by its own configuration and its tokenizer's."""
    return min(tokenizer.model_max_length, longest_input(config) or tokenizer.model_max_length)


def batches(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of the sequences, `size` at a time, the longest first: little padding; too large a size fails first."""
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    pieces = (order[start : start + size] for start in range(0, len(order), size))
    return over(pieces, "texts", len(order), amounts=lambda piece: {"tokens": sum(len(sequences[i]) for i in piece)})
