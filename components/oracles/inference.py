"""Shared by the oracles that are language models: rendering, context lengths, batches."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..core.errors import UserError
from ..models.positions import longest_input
from ..runtime.progress import over
from ..storage.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def conversation_text(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> str:
    """The messages through the tokenizer's chat template, no generation prompt, without any BOS.

    Raises:
        UserError: the template refuses the messages.
    """
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(cast(list[dict[str, str]], list(messages)), tokenize=False)
    except TemplateError as error:
        raise UserError(f"the chat template in {tokenizer.name_or_path} refuses a dialogue: {error}") from None
    return str(text).replace(tokenizer.bos_token, "") if tokenizer.bos_token else str(text)


def context_length(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The most tokens that a model reads at once, by its own configuration and its tokenizer's."""
    return min(tokenizer.model_max_length, longest_input(model.config) or tokenizer.model_max_length)


def batches(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of the sequences, `size` at a time, the longest first: little padding; too large a size fails first."""
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    return over((order[start : start + size] for start in range(0, len(order), size)), "texts", len(order))


def require_finite(numbers: Iterable[float], folder: Path) -> None:
    """Raise if a model's output is not a finite number.

    Raises:
        UserError: an output is infinite or NaN.
    """
    for number in numbers:
        if not math.isfinite(number):
            raise UserError(f"the oracle in {folder} answers {number}: its weights are damaged, or need another dtype")
