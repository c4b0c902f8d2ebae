"""Batches of token sequences of different lengths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def padded(
    sequences: Sequence[Sequence[int]], side: Literal["left", "right"], device: "torch.device", token: int = 0
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Token ids and attention mask, both int64 (rows, longest); padding goes on `side`.

    Padding is masked, so most models take any `token`, and 0 is in every vocabulary; a sequence classifier finds the
    end of a sequence by its own padding token.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(sequence) for sequence in sequences]
    ids = pad_sequence(rows, batch_first=True, padding_value=token, padding_side=side)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side)
    return ids.to(device), mask.to(device)


def positions_of(mask: "torch.Tensor") -> "torch.Tensor":
    """The position of each token in its own sequence, of the mask's shape; 0 for padding before it."""
    return (mask.cumsum(-1) - 1).clamp(min=0)
