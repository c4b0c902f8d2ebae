"""Shared by the oracles that are language models: context lengths, batches."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..models.positions import longest_input
from ..runtime.progress import over

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def context_length(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The most tokens that a model reads at once, by its own configuration and its tokenizer's."""
    return min(tokenizer.model_max_length, longest_input(model.config) or tokenizer.model_max_length)


def batches(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of the sequences, `size` at a time, the longest first: little padding; too large a size fails first."""
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    pieces = (order[start : start + size] for start in range(0, len(order), size))
    return over(pieces, "texts", len(order), amounts=lambda piece: {"tokens": sum(len(sequences[i]) for i in piece)})


def require_finite(numbers: Iterable[float], folder: Path) -> None:
    """Raise if a model's output is not a finite number.

    Raises:
        UserError: an output is infinite or NaN.
    """
    for number in numbers:
        if not math.isfinite(number):
            raise UserError(f"the oracle in {folder} answers {number}: its weights are damaged, or need another dtype")
