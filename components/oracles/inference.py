"""Shared by the oracles that are language models."""

from typing import TYPE_CHECKING

from ..models.positions import longest_input

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


REMEDY = "set oracle.dtype to float32, or oracle.model to another folder"
"""What to do with an oracle whose outputs are not finite."""


def context_length(config: "PreTrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The most tokens that a model reads at once, by its own configuration and its tokenizer's."""
    return min(tokenizer.model_max_length, longest_input(config) or tokenizer.model_max_length)
