"""Batches of token sequences of different lengths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def left_pad(sequences: Sequence[Sequence[int]], device: "torch.device") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Token ids and attention mask, both (rows, longest), padding on the left so that all sequences end together."""
    import torch

    longest = max(map(len, sequences))
    # Padding is masked, so any token will do: 0 is in every vocabulary.
    ids = torch.tensor([[0] * (longest - len(sequence)) + list(sequence) for sequence in sequences], device=device)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=device)
    return ids, (torch.arange(longest, 0, -1, device=device) <= lengths[:, None]).long()
